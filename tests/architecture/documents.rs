//! What the documentation of every public function has to say beyond that it is there (`missing_docs` holds that): a function that
//! can fail has a section `Errors`, one that is awaited says what becomes of it when its future is dropped, and each major
//! type has an example. The typed commands are written by a macro and say it once, on `Request`.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Attribute, ImplItem, Item, ReturnType, Signature, TraitItem, Type, Visibility};

use crate::{Source, files_for_tests, in_the_sources};

/// Those that a program says by name first.
const MAJOR: &[&str] = &[
    "Admin",
    "Client",
    "ClientBuilder",
    "Command",
    "Connector",
    "Credentials",
    "CredentialsProvider",
    "Durable",
    "Each",
    "Error",
    "Explanation",
    "FromValue",
    "LocalCluster",
    "NodeAddr",
    "OverloadPolicy",
    "Pipeline",
    "Plan",
    "ReadFrom",
    "Request",
    "RotatingCredentials",
    "Scan",
    "Script",
    "Serde",
    "Session",
    "SimCluster",
    "Slot",
    "SlotMap",
    "Stats",
    "Subscriber",
    "Target",
    "TlsConfig",
    "ToArg",
    "ToArgs",
    "TopologyEvents",
    "Transaction",
    "Value",
    "Way",
];

/// The text of `///` and `#[doc]`; `None` if it is hidden from readers.
fn doc(attributes: &[Attribute]) -> Option<String> {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        match &attribute.meta {
            syn::Meta::List(_hidden) => return None,
            syn::Meta::NameValue(said) => {
                if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) = &said.value {
                    text += &line.value();
                    text.push('\n');
                }
            }
            syn::Meta::Path(_) => {}
        }
    }
    Some(text)
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn last_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Reference(lent) => last_name(&lent.elem),
        _without_a_name => None,
    }
}

fn can_fail(signature: &Signature) -> bool {
    match &signature.output {
        ReturnType::Default => false,
        ReturnType::Type(_, ty) => last_name(ty).as_deref() == Some("Result"),
    }
}

/// What readers find of one type: its own text, and its functions.
#[derive(Default)]
struct Types {
    texts: BTreeMap<String, String>,
    functions: Vec<Function>,
}

struct Function {
    of: String,
    name: String,
    text: String,
    can_fail: bool,
    is_awaited: bool,
}

impl Types {
    fn of(sources: &[Source]) -> Self {
        let mut types = Self::default();
        let for_tests = files_for_tests(sources);
        let shown = sources.iter().filter(|source| {
            let is_inside = source.module.first().is_some_and(|module| module == "internals");
            !is_inside && !for_tests.iter().any(|module| source.module.starts_with(module))
        });
        for source in shown {
            source.syntax.items.iter().for_each(|item| types.add(item));
        }
        types
    }

    fn add(&mut self, item: &Item) {
        let mut text_of = |name: &syn::Ident, attributes: &[Attribute]| {
            if let Some(text) = doc(attributes) {
                self.texts.insert(name.to_string(), text);
            }
        };
        match item {
            Item::Struct(item) if is_public(&item.vis) => text_of(&item.ident, &item.attrs),
            Item::Enum(item) if is_public(&item.vis) => text_of(&item.ident, &item.attrs),
            Item::Trait(item) if is_public(&item.vis) => {
                text_of(&item.ident, &item.attrs);
                for function in &item.items {
                    if let TraitItem::Fn(function) = function {
                        self.function(&item.ident.to_string(), &function.sig, &function.attrs);
                    }
                }
            }
            Item::Impl(item) if item.trait_.is_none() => {
                let Some(of) = last_name(&item.self_ty) else { return };
                for function in &item.items {
                    match function {
                        ImplItem::Fn(function) if is_public(&function.vis) => {
                            self.function(&of, &function.sig, &function.attrs);
                        }
                        _not_public => {}
                    }
                }
            }
            Item::Fn(item) if is_public(&item.vis) => self.function("", &item.sig, &item.attrs),
            _without_functions => {}
        }
    }

    fn function(&mut self, of: &str, signature: &Signature, attributes: &[Attribute]) {
        let Some(text) = doc(attributes) else { return };
        self.functions.push(Function {
            of: of.to_owned(),
            name: signature.ident.to_string(),
            text,
            can_fail: can_fail(signature),
            is_awaited: signature.asyncness.is_some(),
        });
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for function in &self.functions {
            let name = format!("{}::{}", function.of, function.name);
            // A type may say it for all of its functions.
            let of_type = self.texts.get(&function.of).map_or("", String::as_str);
            if function.can_fail && !function.text.contains("# Errors") {
                complaints.push(format!(
                    "{name} can fail, and does not say of what: a section `# Errors` is missing"
                ));
            }
            let is_said = |text: &str| text.contains("ancel safety");
            if function.is_awaited && !is_said(&function.text) && !is_said(of_type) {
                complaints.push(format!(
                    "{name} is awaited, and does not say what becomes of it when its future is dropped: a section `# Cancel \
                     safety` is missing, there or at {}",
                    function.of
                ));
            }
        }
        complaints
    }

    fn without_example<'a>(&self, names: &[&'a str]) -> BTreeSet<&'a str> {
        let has_one = |name: &&str| self.texts.get(*name).is_some_and(|text| text.contains("```"));
        names.iter().copied().filter(|name| !has_one(name)).collect()
    }
}

#[test]
fn what_can_fail_says_of_what_and_what_is_awaited_may_be_dropped_knowingly() {
    let types = Types::of(&in_the_sources());
    assert!(types.functions.len() > 300, "only {} public functions were found", types.functions.len());
    let complaints = types.complaints();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn each_major_type_has_an_example() {
    assert_eq!(Types::of(&in_the_sources()).without_example(MAJOR), BTreeSet::new());
}

#[test]
fn what_is_missing_is_found() {
    let text = "
        /// A thing.
        pub struct Thing;

        impl Thing {
            /// Fails.
            pub fn fail(&self) -> Result<()> { todo!() }

            /// Waits.
            pub async fn wait(&self) {}

            /// Says both.
            ///
            /// # Errors and cancel safety
            ///
            /// Never.
            pub async fn both(&self) -> crate::error::Result<()> { todo!() }

            #[doc(hidden)]
            pub fn hidden(&self) -> Result<()> { todo!() }

            async fn own(&self) -> Result<()> { todo!() }
        }
    ";
    let types = Types::of(&[Source::new("thing.rs", text)]);
    let complaints = types.complaints();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints.iter().any(|text| text.starts_with("Thing::fail can fail")));
    assert!(complaints.iter().any(|text| text.starts_with("Thing::wait is awaited")));
    assert_eq!(types.without_example(&["Thing", "Nothing"]), BTreeSet::from(["Nothing", "Thing"]));
}
