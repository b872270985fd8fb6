//! The lines `<name>:<value>` of `INFO` and `CLUSTER INFO`: the only place where such a reply is taken apart.
//!
//! Source: [INFO](https://redis.io/docs/latest/commands/info/),
//! [CLUSTER INFO](https://redis.io/docs/latest/commands/cluster-info/).

/// Every line that has a name, with its value. Headlines (`# Server`) and empty lines are left out.
pub(crate) fn fields(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim_end()))
}

/// The value of the first line with this name.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    fields(text).find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::{field, fields};

    const TEXT: &str = "# Server: the process\r\nrun_id:ab\r\nconfig_file:C:/a b.conf \r\n\r\n# Keyspace\r\n\
                        db0:keys=3,expires=0\r\nrun_id:later\r\nempty:\r\nno name\r\n";

    #[test]
    fn a_line_is_found_by_its_whole_name_and_its_value_may_have_colons() {
        assert_eq!(field(TEXT, "run_id"), Some("ab"));
        assert_eq!(field(TEXT, "config_file"), Some("C:/a b.conf"));
        assert_eq!(field(TEXT, "empty"), Some(""));
        for missing in ["run", "_id", "# Server", "no name", "", "keys=3"] {
            assert_eq!(field(TEXT, missing), None, "{missing}");
        }
    }

    #[test]
    fn lines_come_in_their_order_and_bare_ends_of_lines_are_fine() {
        let names: Vec<&str> = fields(TEXT).map(|(name, _)| name).collect();
        assert_eq!(names, ["run_id", "config_file", "db0", "run_id", "empty"]);
        assert_eq!(field("a:1\nb:2", "b"), Some("2"));
    }
}
