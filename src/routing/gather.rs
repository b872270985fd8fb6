//! [`Merge`]: how the replies of a command's parts become one.

use bytes::Bytes;

use crate::node::NodeAddr;
use crate::protocol::command_spec::ResponsePolicy;
use crate::protocol::value::Value;

/// How replies are put together; decided with the plan, done when all are there.
///
/// Source: [request and response policies](https://redis.io/docs/latest/develop/reference/command-tips/).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Each part answers a list; a reply that is none is the element of a list of one. For each element of all of them, one
    /// after the other: the number of its part, and its place in the whole.
    InOrder(Vec<(usize, usize)>),
    /// All lists, one after the other; single replies as elements.
    Concatenate,
    /// Every part must succeed, and says the same: the first reply.
    First,
    /// One success is enough.
    AnySuccess,
    /// A number of all of them.
    Number(Fold),
    /// Element by element for lists of 0 and 1.
    Logic(Fold),
    /// No rule: a map from the node's address to its reply.
    ByNode(Vec<NodeAddr>),
}

/// What is done with the numbers of several nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    Sum,
    Min,
    Max,
}

impl Fold {
    fn apply(self, numbers: impl Iterator<Item = i64>) -> Option<i64> {
        match self {
            Self::Sum => Some(numbers.fold(0, i64::saturating_add)),
            Self::Min => numbers.min(),
            Self::Max => numbers.max(),
        }
    }
}

impl Merge {
    /// For a command that went as a whole to several nodes.
    pub(crate) fn by_policy(policy: ResponsePolicy, nodes: Vec<NodeAddr>) -> Self {
        match policy {
            ResponsePolicy::Single => Self::Concatenate,
            ResponsePolicy::OneSucceeded => Self::AnySuccess,
            ResponsePolicy::AllSucceeded => Self::First,
            ResponsePolicy::LogicalAnd => Self::Logic(Fold::Min),
            ResponsePolicy::LogicalOr => Self::Logic(Fold::Max),
            ResponsePolicy::Min => Self::Number(Fold::Min),
            ResponsePolicy::Max => Self::Number(Fold::Max),
            ResponsePolicy::Sum => Self::Number(Fold::Sum),
            ResponsePolicy::Special => Self::ByNode(nodes),
        }
    }

    /// For a command that was split by slot; `places` as [`Merge::InOrder`] needs them.
    pub(crate) fn of_split(policy: ResponsePolicy, places: impl Iterator<Item = (usize, usize)>) -> Self {
        match policy {
            ResponsePolicy::Single => Self::InOrder(places.collect()),
            ResponsePolicy::OneSucceeded
            | ResponsePolicy::AllSucceeded
            | ResponsePolicy::LogicalAnd
            | ResponsePolicy::LogicalOr
            | ResponsePolicy::Min
            | ResponsePolicy::Max
            | ResponsePolicy::Sum
            | ResponsePolicy::Special => Self::by_policy(policy, Vec::new()),
        }
    }

    /// Puts the parts' replies, all of them successes, into one. `None` if they have another form than the rule needs.
    pub(crate) fn merge(&self, mut replies: impl Iterator<Item = Value>) -> Option<Value> {
        match self {
            Self::InOrder(places) => in_order(places, replies),
            Self::Concatenate => Some(Value::Array(replies.flat_map(elements).collect())),
            Self::First | Self::AnySuccess => replies.next(),
            Self::Number(fold) => {
                let numbers: Option<Vec<i64>> = replies.map(|reply| reply.as_int()).collect();
                fold.apply(numbers?.into_iter()).map(Value::Int)
            }
            Self::Logic(fold) => logic(*fold, replies.collect()),
            Self::ByNode(nodes) => Some(Value::Map(
                nodes.iter().map(|node| Value::Bulk(Bytes::from(node.to_string()))).zip(replies).collect(),
            )),
        }
    }
}

fn elements(reply: Value) -> Vec<Value> {
    match reply {
        Value::Array(items) | Value::Set(items) => items,
        single => vec![single],
    }
}

fn in_order(places: &[(usize, usize)], replies: impl Iterator<Item = Value>) -> Option<Value> {
    let mut whole: Vec<Value> = places.iter().map(|_| Value::Nil).collect();
    let mut places = places.iter();
    for (part, reply) in replies.enumerate() {
        let mut put = |element: Value| {
            let (_, place) = places.next().filter(|(of, _)| *of == part)?;
            *whole.get_mut(*place)? = element;
            Some(())
        };
        match reply {
            Value::Array(elements) => elements.into_iter().try_for_each(put)?,
            element => put(element)?,
        }
        // With too few elements those of the next part would be taken for this one's.
        if places.as_slice().first().is_some_and(|(of, _)| *of == part) {
            return None;
        }
    }
    places.as_slice().is_empty().then_some(Value::Array(whole))
}

fn logic(fold: Fold, replies: Vec<Value>) -> Option<Value> {
    if replies.iter().all(|reply| reply.as_int().is_some()) {
        return fold.apply(replies.iter().filter_map(Value::as_int)).map(Value::Int);
    }
    let lists: Vec<Vec<Value>> = replies.into_iter().map(elements).collect();
    let length = lists.first()?.len();
    (0..length)
        .map(|place| {
            let column: Option<Vec<i64>> =
                lists.iter().map(|list| list.get(place).and_then(Value::as_int)).collect();
            fold.apply(column?.into_iter()).map(Value::Int)
        })
        .collect::<Option<Vec<Value>>>()
        .map(Value::Array)
}

#[cfg(test)]
mod tests {
    use super::{Fold, Merge};
    use crate::node::NodeAddr;
    use crate::protocol::value::Value;

    fn merge(rule: &Merge, replies: Vec<Value>) -> Option<Value> {
        rule.merge(replies.into_iter())
    }

    fn ints(numbers: &[i64]) -> Vec<Value> {
        numbers.iter().map(|number| Value::Int(*number)).collect()
    }

    #[test]
    fn elements_of_a_split_go_back_to_their_places() {
        let rule = Merge::InOrder(vec![(0, 0), (0, 2), (1, 1)]);
        let list = |numbers: &[i64]| Value::Array(ints(numbers));
        let whole = Some(list(&[10, 20, 30]));
        assert_eq!(merge(&rule, vec![list(&[10, 30]), list(&[20])]), whole);
        assert_eq!(merge(&rule, vec![list(&[10, 30]), Value::Int(20)]), whole, "without its list of one");
        // Nothing is moved up: each of these has the right number of elements, or begins like one that has.
        for wrong in [
            vec![list(&[10]), list(&[30, 20])],
            vec![list(&[10, 30, 20]), list(&[])],
            vec![list(&[10, 30]), list(&[20, 40])],
            vec![list(&[10, 30]), list(&[])],
            vec![list(&[10, 30])],
            vec![list(&[10, 30]), list(&[20]), list(&[40])],
            vec![Value::Int(10), list(&[20])],
        ] {
            assert_eq!(merge(&rule, wrong.clone()), None, "{wrong:?}");
        }
    }

    #[test]
    fn any_permutation_is_undone() {
        let order = [(0, 3), (1, 1), (1, 4), (2, 0), (2, 2), (2, 5)];
        let replies =
            vec![Value::Array(ints(&[3])), Value::Array(ints(&[1, 4])), Value::Array(ints(&[0, 2, 5]))];
        let whole = Value::Array(ints(&[0, 1, 2, 3, 4, 5]));
        assert_eq!(merge(&Merge::InOrder(order.to_vec()), replies), Some(whole));
    }

    #[test]
    fn numbers_are_summed_or_the_least_is_taken() {
        assert_eq!(merge(&Merge::Number(Fold::Sum), ints(&[1, 2, 3])), Some(Value::Int(6)));
        assert_eq!(merge(&Merge::Number(Fold::Min), ints(&[2, 1, 3])), Some(Value::Int(1)));
        assert_eq!(merge(&Merge::Number(Fold::Sum), vec![Value::Nil]), None);
    }

    #[test]
    fn truth_values_are_combined_element_by_element() {
        let replies = vec![Value::Array(ints(&[1, 0])), Value::Array(ints(&[1, 1]))];
        assert_eq!(merge(&Merge::Logic(Fold::Min), replies), Some(Value::Array(ints(&[1, 0]))));
    }

    #[test]
    fn lists_are_joined_and_what_has_no_rule_is_told_by_node() {
        let lists = vec![Value::Array(ints(&[1])), Value::Array(ints(&[2, 3]))];
        assert_eq!(merge(&Merge::Concatenate, lists), Some(Value::Array(ints(&[1, 2, 3]))));
        let by_node = Merge::ByNode(vec![NodeAddr::new("a", 1), NodeAddr::new("b", 2)]);
        let Some(Value::Map(pairs)) = merge(&by_node, ints(&[1, 2])) else { panic!() };
        assert_eq!(pairs[1].0.as_str(), Some("b:2"));
    }
}
