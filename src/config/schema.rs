//! The JSON Schemas of both files, made from the types that read them.
//!
//! They are draft-07: the newest draft that the JSON language server of VS Code, and with it most editors, knows in full. They
//! allow everything that a load allows; what they cannot see (duplicate keys, placeholders, the guard's verdict, the inside of an
//! expression) only the load refuses.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Map, Value, json};

use super::shape::Words;
use super::{raw_playbooks, raw_settings};

/// The schema of `autoheal-playbooks.json`, as the file that is shipped beside it.
#[must_use]
pub fn playbooks() -> String {
    document::<raw_playbooks::File>("The playbooks of autoheal")
}

/// The schema of `autoheal.json`, as the file that is shipped beside it.
#[must_use]
pub fn settings() -> String {
    document::<raw_settings::File>("The settings of autoheal")
}

fn document<T: JsonSchema>(title: &str) -> String {
    let settings = SchemaSettings::draft07().with_transform(Tidy);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    format!("{:#}\n", schema.to_value())
}

/// Declares what a schema says of types whose reading is written by hand: JSON, or an expression for it, which may need the
/// generator for the schemas of its parts.
macro_rules! schema {
    (@json {$($json:tt)*}) => { schemars::json_schema!({$($json)*}) };
    (@json $json:expr) => { $json };
    (@impl $type:ty, $generator:pat, $json:expr) => {
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $json
            }
        }
    };
    ($($type:ty = $json:tt;)*) => {
        $($crate::config::schema::schema! { @impl $type, _, $crate::config::schema::schema!(@json $json) })*
    };
    ($type:ty = |$generator:ident| $json:expr;) => { $crate::config::schema::schema! { @impl $type, $generator, $json } };
    ($type:ty = $json:expr;) => { $crate::config::schema::schema! { @impl $type, _, $json } };
}
pub(crate) use schema;

/// One of the words of a table, each with its description.
pub(crate) fn one_of_words<T: Words>() -> Schema {
    if T::TABLE.iter().all(|(_, about, _)| about.is_empty()) {
        let words: Vec<&str> = T::TABLE.iter().map(|(word, _, _)| *word).collect();
        return json_schema!({"type": "string", "enum": words});
    }
    json_schema!({"oneOf": T::TABLE.iter().map(|(word, about, _)| described(word, about)).collect::<Vec<_>>()})
}

/// Exactly this text, and what an editor says of it.
pub(crate) fn described(word: &str, about: &str) -> Value {
    json!({"const": word, "description": about.trim()})
}

/// The keys of several objects in one; `about` is the description of the whole.
pub(crate) fn joined(about: &str, parts: impl IntoIterator<Item = Schema>) -> Schema {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for part in parts {
        properties.extend(part.get("properties").and_then(Value::as_object).cloned().unwrap_or_default());
        required.extend(part.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
    }
    json_schema!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}

/// Makes the schemas say what the reader does where `schemars` thinks of serde.
#[derive(Clone, Debug)]
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        RecursiveTransform(tidy).transform(schema);
    }
}

fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("format");
    without_null(object);
    optional_if_default(object);
    // Keys for people and editors may stand in every object; headers have a rule of their own.
    if object.contains_key("additionalProperties") && !object.contains_key("patternProperties") {
        object.insert("patternProperties".to_owned(), json!({IGNORED: true}));
    }
}

/// Keys that every object ignores, as [`is_ignored`](super::node::is_ignored) knows them.
pub(crate) const IGNORED: &str = r"^(\$schema$|\$comment$|_|x-)";

/// `Option` means that a key may be absent, never that it may be `null`.
fn without_null(object: &mut Map<String, Value>) {
    let null = json!({"type": "null"});
    if let Some(Value::Array(mut any)) = object.remove("anyOf") {
        if any.len() == 2 && any[1] == null {
            if let Value::Object(only) = any.swap_remove(0) {
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        } else {
            object.insert("anyOf".to_owned(), Value::Array(any));
        }
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
}

/// A key with a default may be absent.
fn optional_if_default(object: &mut Map<String, Value>) {
    let with_default = |key: &Value, object: &Map<String, Value>| {
        key.as_str().is_some_and(|key| object.get("properties").is_some_and(|all| all[key].get("default").is_some()))
    };
    let Some(Value::Array(mut required)) = object.remove("required") else { return };
    required.retain(|key| !with_default(key, object));
    if !required.is_empty() {
        object.insert("required".to_owned(), required.into());
    }
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
