//! A text of the configuration that is never shown.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A text that is not shown. Written plain, as `{ env = "NAME" }` or as `{ file = "PATH" }`.
#[derive(Clone, Debug)]
pub struct Secret(pub SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a secret is a text, { env = \"NAME\" } or { file = \"PATH\" }")]
        enum Written {
            Plain(String),
            Env { env: String },
            File { file: PathBuf },
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Plain(text) => text,
            Written::Env { env } => {
                std::env::var(&env).map_err(|_| D::Error::custom(format!("the environment has no {env}")))?
            }
            Written::File { file } => std::fs::read_to_string(&file)
                .map_err(|e| D::Error::custom(format!("cannot read {}: {e}", file.display())))?
                .trim()
                .to_owned(),
        };
        Ok(Self(text.into()))
    }
}
