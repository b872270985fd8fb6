//! Values as `redis-cli` shows them.

use keyslot::Value;

/// The value as a text of one line or several.
pub(crate) fn shown(value: &Value) -> String {
    set_in(value, 0)
}

/// Numbered, and what is nested is set in by `margin`.
fn set_in(value: &Value, margin: usize) -> String {
    match value {
        Value::Nil => "(nil)".to_owned(),
        Value::Int(number) => format!("(integer) {number}"),
        Value::Double(number) => format!("(double) {number}"),
        Value::Bool(is_true) => format!("({is_true})"),
        Value::Simple(text) | Value::BigNumber(text) | Value::Verbatim { text, .. } => {
            String::from_utf8_lossy(text).into_owned()
        }
        Value::Bulk(text) => format!("\"{}\"", text.escape_ascii()),
        Value::Error(error) => format!("(error) {error}"),
        Value::Array(list) | Value::Push(list) => numbered("array", ')', list, margin, set_in),
        Value::Set(list) => numbered("set", '~', list, margin, set_in),
        Value::Map(pairs) => numbered("hash", '#', pairs, margin, |(key, value), at| {
            let below = match value {
                Value::Array(list) | Value::Set(list) if !list.is_empty() => format!("\n{:at$}", ""),
                Value::Map(pairs) if !pairs.is_empty() => format!("\n{:at$}", ""),
                _ => " ".to_owned(),
            };
            format!("{} =>{below}{}", set_in(key, at), set_in(value, at))
        }),
        other => format!("{other:?}"),
    }
}

/// An element a line, with its number and the mark of what it is in; `shown` is told where it begins.
fn numbered<T>(
    kind: &str,
    mark: char,
    list: &[T],
    margin: usize,
    shown: impl Fn(&T, usize) -> String,
) -> String {
    if list.is_empty() {
        return format!("(empty {kind})");
    }
    let width = list.len().to_string().len();
    let line = |(place, element)| format!("{place:>width$}{mark} {}", shown(element, margin + width + 2));
    (1..=list.len()).zip(list).map(line).collect::<Vec<String>>().join(&format!("\n{:margin$}", ""))
}
