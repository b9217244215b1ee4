//! Checks settings against their schema, and fills in the defaults.

use std::collections::{BTreeMap, BTreeSet};

use super::{Alternative, MAX_VALUE, Place, SettingProblem, SettingsSchema, ValueKind};
use crate::secret::{MAX_SECRET, Secrets};

type Settings = BTreeMap<String, String>;

impl ValueKind {
    /// Returns what is wrong with the text of a setting. It never repeats the text.
    pub(super) fn problem(&self, text: &str) -> Option<String> {
        match self {
            Self::Text(rules) => {
                let length = text.chars().count();
                if rules.min_length.is_some_and(|min| length < min) {
                    return Some(format!(
                        "it needs at least {} characters",
                        rules.min_length.unwrap_or_default()
                    ));
                }
                if rules.max_length.is_some_and(|max| length > max) {
                    return Some(format!(
                        "it may have at most {} characters",
                        rules.max_length.unwrap_or_default()
                    ));
                }
                let pattern = rules.pattern.as_ref()?;
                (!pattern.is_match(text)).then(|| format!("it must match {}", pattern.as_str()))
            }
            Self::Choice(choices) => {
                let found = choices.iter().any(|choice| choice == text);
                (!found).then(|| format!("choose one of: {}", choices.join(", ")))
            }
            Self::Integer { minimum, maximum } => match parse_integer(text) {
                None => Some("write a whole number in decimal digits".to_owned()),
                Some(number) if number < *minimum => Some(format!("the least is {minimum}")),
                Some(number) if number > *maximum => Some(format!("the most is {maximum}")),
                Some(_) => None,
            },
            Self::Boolean => {
                (!matches!(text, "true" | "false")).then(|| "write `true` or `false`".to_owned())
            }
        }
    }
}

/// Returns the number that a text stands for. It has one spelling: no plus, no leading zeros.
fn parse_integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| number.to_string() == text)
}

impl SettingsSchema {
    /// Checks settings and secrets. `kept` are the names of secrets that are stored already and
    /// stay. Returns the settings with the defaults filled in.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown, wrong or missing.
    pub fn check(
        &self,
        settings: &Settings,
        secrets: &Secrets,
        kept: &BTreeSet<String>,
    ) -> Result<Settings, SettingProblem> {
        for (name, value) in settings {
            self.check_one(Place::Settings, name, value)?;
        }
        for (name, secret) in secrets {
            self.check_one(Place::Secrets, name, secret.expose())?;
        }
        let mut filled = settings.clone();
        for (name, property) in &self.properties {
            if let Some(default) = &property.default {
                filled.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
        let set = |name: &str| {
            filled.contains_key(name)
                || secrets.contains_key(name)
                || (kept.contains(name) && self.is_secret(name))
        };
        self.check_present(&self.required, &set, "it is required")?;
        for (name, needed) in &self.dependent {
            if set(name) {
                self.check_present(needed, &set, &format!("it is required together with `{name}`"))?;
            }
        }
        self.check_alternatives(&filled, &set)?;
        Ok(filled)
    }

    fn check_one(&self, place: Place, name: &str, value: &str) -> Result<(), SettingProblem> {
        let problem = |detail: String| SettingProblem { place, setting: shown(name), detail };
        let Some(property) = self.properties.get(name) else {
            let known = self.properties.iter().filter(|(_, other)| other.secret == (place == Place::Secrets));
            let known: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
            let noun = if place == Place::Secrets { "secret" } else { "setting" };
            return Err(problem(format!("there is no such {noun}; those of this kind: {known}")));
        };
        match (place, property.secret) {
            (Place::Settings, true) => {
                return Err(problem(
                    "this setting is a secret: send it in `secrets`, where it is sealed".to_owned(),
                ));
            }
            (Place::Secrets, false) => {
                return Err(problem("this setting is no secret: send it in `settings`".to_owned()));
            }
            (Place::Settings, false) | (Place::Secrets, true) => {}
        }
        let limit = if property.secret { MAX_SECRET } else { MAX_VALUE };
        if value.len() > limit {
            return Err(problem(format!("it may have at most {limit} bytes")));
        }
        property.kind.problem(value).map_or(Ok(()), |detail| Err(problem(detail)))
    }

    fn missing(&self, name: &str, detail: &str) -> SettingProblem {
        let place = if self.is_secret(name) { Place::Secrets } else { Place::Settings };
        SettingProblem { place, setting: name.to_owned(), detail: detail.to_owned() }
    }

    fn check_present(
        &self,
        names: &BTreeSet<String>,
        set: &impl Fn(&str) -> bool,
        detail: &str,
    ) -> Result<(), SettingProblem> {
        match names.iter().find(|name| !set(name)) {
            None => Ok(()),
            Some(name) => Err(self.missing(name, detail)),
        }
    }

    fn check_alternatives(
        &self,
        settings: &Settings,
        set: &impl Fn(&str) -> bool,
    ) -> Result<(), SettingProblem> {
        if self.alternatives.is_empty() {
            return Ok(());
        }
        let chosen: Vec<&Alternative> =
            self.alternatives.iter().filter(|alternative| alternative.is_chosen(settings)).collect();
        let complete = chosen.iter().filter(|alternative| alternative.required.iter().all(|name| set(name)));
        match (complete.count(), chosen.as_slice()) {
            (1, _) => Ok(()),
            (0, [only]) => self.check_present(&only.required, set, &only.reason()),
            (0, []) => {
                let names: BTreeSet<&str> =
                    self.alternatives.iter().flat_map(Alternative::choosers).collect();
                let setting = names.first().copied().unwrap_or_default();
                let detail = format!("choose one of: {}", self.described());
                Err(SettingProblem { place: Place::Settings, setting: setting.to_owned(), detail })
            }
            (count, _) => {
                let words = if count == 0 { "set one of these" } else { "set only one of these" };
                let detail = format!("{words}: {}", self.described());
                Err(SettingProblem { place: Place::Settings, setting: String::new(), detail })
            }
        }
    }

    fn described(&self) -> String {
        self.alternatives.iter().map(Alternative::described).collect::<Vec<_>>().join("; or ")
    }
}

impl Alternative {
    fn is_chosen(&self, settings: &Settings) -> bool {
        self.values.iter().all(|(name, value)| settings.get(name) == Some(value))
    }

    fn choosers(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    fn described(&self) -> String {
        let values = self.values.iter().map(|(name, value)| format!("{name}={value}"));
        values.chain(self.required.iter().cloned()).collect::<Vec<_>>().join(" and ")
    }

    fn reason(&self) -> String {
        let values: Vec<_> = self.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if values.is_empty() {
            "it is required".to_owned()
        } else {
            format!("it is required with {}", values.join(" and "))
        }
    }
}

/// Returns a name of a request as problems repeat it.
fn shown(name: &str) -> String {
    name.chars().take(super::MAX_NAME).collect()
}
