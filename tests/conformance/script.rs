//! [`Line`]: one line of a transcript: who is sent what, and how the replies are compared.
//!
//! ```text
//! # A comment.
//! == a new section: all connections are new, all keys are gone ;; what stands here holds for all its lines
//! SET {b}k v                        # the connection `a` to the node `p0`
//! b: GET {b}k                       # another connection to `p0`
//! p1: GET {b}k                      # the connection `a` to the node `p1`
//! b@r0: GET {b}k                    # the connection `b` to the first replica
//! SMEMBERS {b}s ;; sorted            # how it is compared and where it holds stands behind two semicolons
//! b: BLPOP {b}l 0 ;; sent            # it waits; no reply is read
//! b: ;; replies 1                    # nothing is sent, one reply is read
//! GET k ;; differs 6.2: the reason   # the simulation answers otherwise, and may
//! ```
//!
//! `p0`, `p1`, `p2` are the primaries in the order of their slots, `r0`, `r1`, `r2` their replicas, for as long as the
//! cluster lives. The tags `{b}`, `{c}` and `{a}` belong to `p0`, `p1` and `p2`. A word in double quotes may have
//! spaces and the escapes `\r \n \t \" \\ \x07`. `<p1>`, `<p1.id>`, `<p1.port>` stand for address, id and port of a
//! node; `<name>` for what `;; as name` kept of an earlier reply.

use super::version::Version;

/// How the replies of a line are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compare {
    /// Byte by byte.
    Exact,
    /// The elements of the reply may come in any order, as members of a set do.
    Sorted,
    /// The pairs of the reply may come in any order, as fields of a hash do.
    Pairs,
    /// Arrays of arrays may come in any order, on every level.
    Deep,
    /// The same types and, but for texts and numbers, the same structure.
    Shape,
    /// The first word of an error.
    Code,
    /// Integers that are not further from each other than this.
    Near(i64),
    /// The lines of `CLUSTER NODES`, without times and in any order.
    Nodes,
    /// The same without epochs.
    Members,
    /// The names of the fields of an `INFO`.
    Fields,
    /// The names of the words of a `CLIENT INFO`.
    Words,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// As it is written, for the report.
    pub(crate) text: String,
    pub(crate) number: usize,
    /// A new section begins before it.
    pub(crate) begins_section: bool,
    /// The name of the connection, with the node behind `@`.
    pub(crate) connection: String,
    /// Words, or what is sent as it is.
    pub(crate) sends: Sends,
    /// Each byte by itself.
    pub(crate) is_slow: bool,
    pub(crate) replies: Replies,
    pub(crate) compare: Compare,
    /// What stands behind one of these names is not compared.
    pub(crate) without: Vec<String>,
    /// Only these lines of a text are compared.
    pub(crate) fields: Vec<String>,
    /// Sent again until the reply has this text in it.
    pub(crate) until: Option<String>,
    /// The reply's payload is kept by this name.
    pub(crate) keeps: Option<String>,
    only: Option<Vec<Version>>,
    resp: Option<u8>,
    differs: Option<(Vec<Version>, String)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Sends {
    Nothing,
    Words(Vec<Vec<u8>>),
    Raw(Vec<u8>),
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Replies {
    Count(usize),
    /// As many as come before the node ends the connection.
    UntilEnd,
    /// None now: the node has taken the command up and waits.
    Blocks,
    /// None now, and nobody waits for the node to take it up.
    Unheard,
}

/// The lines of a transcript.
pub(crate) fn parse(text: &str) -> Vec<Line> {
    let mut begins_section = true;
    let mut of_section = Vec::new();
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with("# ") || text == "#" {
            continue;
        }
        if text.starts_with("==") {
            begins_section = true;
            of_section = text.split(" ;; ").skip(1).map(str::to_owned).collect();
            continue;
        }
        let mut line = Line::parse(text, number, begins_section);
        of_section.iter().for_each(|part| line.note(part));
        lines.push(line);
        begins_section = false;
    }
    lines
}

impl Line {
    fn parse(text: &str, number: usize, begins_section: bool) -> Self {
        let mut parts = format!("{text} ").split(" ;; ").map(str::to_owned).collect::<Vec<_>>().into_iter();
        let head = parts.next().unwrap();
        let head = head.trim();
        let (connection, command) = match head.split_once(':') {
            Some((name, rest)) if is_connection(name) && (rest.is_empty() || rest.starts_with(' ')) => {
                (name, rest.trim())
            }
            _ => ("a", head),
        };
        let connection = match connection {
            node if is_node(node) => format!("a@{node}"),
            name if name.contains('@') => name.to_owned(),
            name => format!("{name}@p0"),
        };
        let mut line = Self {
            text: text.to_owned(),
            number,
            begins_section,
            connection,
            sends: if command.is_empty() { Sends::Nothing } else { Sends::Words(words(command)) },
            is_slow: false,
            replies: Replies::Count(1),
            compare: Compare::Exact,
            without: Vec::new(),
            fields: Vec::new(),
            until: None,
            keeps: None,
            only: None,
            resp: None,
            differs: None,
        };
        for part in parts {
            line.note(part.trim());
        }
        line
    }

    fn note(&mut self, part: &str) {
        let (word, rest) = part.split_once(' ').unwrap_or((part, ""));
        match word {
            "sorted" => self.compare = Compare::Sorted,
            "pairs" => self.compare = Compare::Pairs,
            "deep" => self.compare = Compare::Deep,
            "shape" => self.compare = Compare::Shape,
            "code" => self.compare = Compare::Code,
            "near" => self.compare = Compare::Near(rest.parse().unwrap()),
            "nodes" => self.compare = Compare::Nodes,
            "members" => self.compare = Compare::Members,
            "names" => self.compare = Compare::Fields,
            "slowly" => self.is_slow = true,
            "without" => self.without = rest.split(' ').map(str::to_owned).collect(),
            "words" => self.compare = Compare::Words,
            "fields" => self.fields = rest.split(' ').map(str::to_owned).collect(),
            "sent" => self.replies = Replies::Blocks,
            "unheard" => self.replies = Replies::Unheard,
            "replies" => self.replies = Replies::Count(rest.parse().unwrap()),
            "ends" => self.replies = Replies::UntilEnd,
            "until" => self.until = Some(rest.to_owned()),
            "as" => self.keeps = Some(rest.to_owned()),
            "raw" => {
                let Sends::Words(words) = &self.sends else { panic!("{}: nothing to send", self.text) };
                self.sends = Sends::Raw(words.concat());
            }
            "since" => self.only = Some(Version::since(rest)),
            "only" => self.only = Some(Version::list(rest)),
            "not" => {
                let not = Version::list(rest);
                self.only = Some(Version::ALL.into_iter().filter(|version| !not.contains(version)).collect());
            }
            "resp2" => self.resp = Some(2),
            "resp3" => self.resp = Some(3),
            "differs" | "differs:" => {
                let (versions, reason) = part["differs".len()..].split_once(':').unwrap();
                let versions = match versions.trim() {
                    "" => Version::ALL.to_vec(),
                    some => Version::list(some),
                };
                self.differs = Some((versions, reason.trim().to_owned()));
            }
            _ => panic!("{}: what is {word:?}?", self.text),
        }
    }

    pub(crate) fn holds_for(&self, version: Version, resp: u8) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&version))
            && self.resp.is_none_or(|only| only == resp)
    }

    /// Why the simulation may answer otherwise.
    pub(crate) fn may_differ(&self, version: Version) -> Option<&str> {
        self.differs
            .as_ref()
            .filter(|(versions, _)| versions.contains(&version))
            .map(|(_, reason)| reason.as_str())
    }
}

fn is_node(name: &str) -> bool {
    matches!(name.as_bytes(), [b'p' | b'r', b'0'..=b'2'])
}

fn is_connection(name: &str) -> bool {
    let (name, node) = name.split_once('@').unwrap_or((name, "p0"));
    is_node(node) && (is_node(name) || matches!(name.as_bytes(), [b'a'..=b'z']))
}

/// Splits at spaces, outside of double quotes.
fn words(text: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut symbols = text.chars().peekable();
    while let Some(symbol) = symbols.next() {
        match symbol {
            ' ' => {}
            '"' => {
                let mut word = Vec::new();
                loop {
                    match symbols.next().unwrap_or_else(|| panic!("{text}: a quote has no end")) {
                        '"' => break,
                        '\\' => word.push(match symbols.next().unwrap() {
                            'r' => b'\r',
                            'n' => b'\n',
                            't' => b'\t',
                            'x' => {
                                let digits: String = symbols.by_ref().take(2).collect();
                                u8::from_str_radix(&digits, 16).unwrap()
                            }
                            other => u8::try_from(other).unwrap(),
                        }),
                        other => word.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                words.push(word);
            }
            first => {
                let mut word = String::from(first);
                while let Some(next) = symbols.next_if(|next| *next != ' ') {
                    word.push(next);
                }
                words.push(word.into_bytes());
            }
        }
    }
    words
}
