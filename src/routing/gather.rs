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
    use crate::protocol::command_spec::ResponsePolicy;
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
    fn whether_some_node_says_so_is_told_for_each_element() {
        let list = |numbers: &[i64]| Value::Array(ints(numbers));
        let or = Merge::Logic(Fold::Max);
        let replies = vec![list(&[0, 1, 0]), list(&[0, 0, 1]), list(&[0, 1, 0])];
        assert_eq!(merge(&or, replies), Some(list(&[0, 1, 1])));
        // One answer in place of a list of one.
        assert_eq!(merge(&or, ints(&[0, 1, 0])), Some(Value::Int(1)));
        assert_eq!(merge(&or, ints(&[0, 0])), Some(Value::Int(0)));
        assert_eq!(merge(&Merge::Logic(Fold::Min), ints(&[1, 0, 1])), Some(Value::Int(0)));
        for rule in [or, Merge::Logic(Fold::Min)] {
            assert_eq!(merge(&rule, vec![list(&[1, 1]), list(&[1])]), None, "an element is missing");
            assert_eq!(merge(&rule, vec![list(&[1]), Value::Array(vec![Value::Nil])]), None, "no number");
        }
    }

    #[test]
    fn the_largest_number_is_taken_and_a_sum_does_not_overflow() {
        let most = Merge::Number(Fold::Max);
        assert_eq!(merge(&most, ints(&[2, 3, 1])), Some(Value::Int(3)));
        assert_eq!(merge(&most, ints(&[-2, -3])), Some(Value::Int(-2)));
        for rule in [most, Merge::Number(Fold::Min)] {
            assert_eq!(merge(&rule, vec![Value::Int(1), Value::Nil]), None);
            assert_eq!(merge(&rule, Vec::new()), None, "of none there is neither");
        }
        assert_eq!(merge(&Merge::Number(Fold::Sum), ints(&[i64::MAX, 1])), Some(Value::Int(i64::MAX)));
    }

    #[test]
    fn of_replies_that_say_the_same_the_first_is_taken() {
        for rule in [Merge::First, Merge::AnySuccess] {
            assert_eq!(merge(&rule, ints(&[7, 8])), Some(Value::Int(7)));
            assert_eq!(merge(&rule, Vec::new()), None);
        }
    }

    #[test]
    fn single_replies_are_elements_of_what_is_joined() {
        let replies = vec![Value::Int(1), Value::Set(ints(&[2, 3])), Value::Array(Vec::new()), Value::Int(4)];
        assert_eq!(merge(&Merge::Concatenate, replies), Some(Value::Array(ints(&[1, 2, 3, 4]))));
    }

    #[test]
    fn every_policy_has_its_rule() {
        let nodes = || vec![NodeAddr::new("a", 1)];
        let places = || [(0, 1), (1, 0)].into_iter();
        for (policy, rule) in [
            (ResponsePolicy::OneSucceeded, Merge::AnySuccess),
            (ResponsePolicy::AllSucceeded, Merge::First),
            (ResponsePolicy::LogicalAnd, Merge::Logic(Fold::Min)),
            (ResponsePolicy::LogicalOr, Merge::Logic(Fold::Max)),
            (ResponsePolicy::Min, Merge::Number(Fold::Min)),
            (ResponsePolicy::Max, Merge::Number(Fold::Max)),
            (ResponsePolicy::Sum, Merge::Number(Fold::Sum)),
        ] {
            // What is one number or one word needs no places.
            assert_eq!(Merge::by_policy(policy, nodes()), rule);
            assert_eq!(Merge::of_split(policy, places()), rule);
        }
        assert_eq!(Merge::by_policy(ResponsePolicy::Single, nodes()), Merge::Concatenate);
        assert_eq!(Merge::by_policy(ResponsePolicy::Special, nodes()), Merge::ByNode(nodes()));
        assert_eq!(
            Merge::of_split(ResponsePolicy::Single, places()),
            Merge::InOrder(places().collect()),
            "what was split goes back to the order of the keys"
        );
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
