//! The conditions of a list, and how the images that one of them accepts are found by an index.

use imprint_domain::{id::AccountId, search::SEPARATOR, tag::Tag};
use sea_orm::{
    DatabaseBackend, EntityTrait, ExprTrait, QueryFilter, QueryTrait,
    sea_query::{BinOper, Condition, Expr, Func, LikeExpr, Query, SelectStatement, SimpleExpr},
};

use super::{list::ImageFilter, row, tags};

/// The length of the sequences that SQLite's full-text table has, in characters; PostgreSQL's index
/// has shorter ones, too.
const GRAM: usize = 3;
/// The most sequences that one search looks up.
const MAX_GRAMS: usize = 16;
/// Separates sequences in a parameter; no search contains it.
const GRAM_SEPARATOR: &str = "\u{1f}";

/// The conditions of a list apart from its order, its owner and the status.
pub(super) struct Narrow {
    /// How images can be found by one of them.
    pub(super) accesses: Vec<Access>,
    /// All of them, compared row by row; no index is used for them.
    pub(super) compared: Condition,
}

/// A condition that an index finds images by. It may accept more images than it shall.
pub(super) struct Access {
    /// The condition.
    pub(super) condition: SimpleExpr,
    /// Selects what it accepts, to be counted, where that is cheaper than to read it.
    pub(super) counted: Option<SelectStatement>,
}

impl Narrow {
    /// Returns the conditions of a list of images: of one account, or of all.
    pub(super) fn of(backend: DatabaseBackend, filter: &ImageFilter, account: Option<AccountId>) -> Self {
        let mut narrow = Self { accesses: Vec::new(), compared: Condition::all() };
        if let Some(kind) = filter.kind {
            narrow.compare(column(row::Column::Kind).eq(kind.as_str()));
        }
        if let Some(location) = filter.location_id {
            narrow.compare(column(row::Column::LocationId).eq(location.uuid()));
        }
        if let Some(source) = filter.source_instance_id {
            narrow.find(column(row::Column::SourceInstanceId).eq(source.uuid()));
        }
        if let Some(storage) = filter.storage_id {
            narrow.find(column(row::Column::StorageId).eq(storage.uuid()));
        }
        let keys: Vec<String> = filter.tags.iter().map(Tag::key).collect();
        for key in &keys {
            // The text, which indexes have, says without the row of the tag where there is none.
            narrow.compare(contains(backend, &tag_in_text(key)));
            narrow.compare(Expr::from(tags::tag_of_image(key)).is_not_null());
        }
        for word in words(filter) {
            narrow.compare(contains(backend, word));
        }
        narrow.find_texts(backend, filter, &keys, account);
        narrow
    }

    fn compare(&mut self, condition: SimpleExpr) {
        self.compared = self.compared.clone().add(hidden(condition));
    }

    fn find(&mut self, condition: SimpleExpr) {
        self.compare(condition.clone());
        let mut counted = row::Entity::find().filter(condition.clone()).into_query();
        counted.clear_selects().expr(Expr::cust("1"));
        self.accesses.push(Access { condition, counted: Some(counted) });
    }

    /// Adds how images are found by words and tags.
    fn find_texts(
        &mut self,
        backend: DatabaseBackend,
        filter: &ImageFilter,
        keys: &[String],
        account: Option<AccountId>,
    ) {
        match backend {
            DatabaseBackend::Sqlite => {
                for key in keys {
                    self.find_ids(tags::tagged(key, account));
                }
                let grams = grams(words(filter), GRAM);
                if !grams.is_empty() {
                    self.find_ids(containing(&grams));
                }
            }
            _ => {
                // Both at once: fewer are read, and in the order in which they are stored.
                let lines: Vec<String> = keys.iter().map(|key| tag_in_text(key)).collect();
                let grams = grams(words(filter).iter().chain(&lines), 1);
                if !grams.is_empty() {
                    let wanted =
                        Func::cust("string_to_array").arg(grams.join(GRAM_SEPARATOR)).arg(GRAM_SEPARATOR);
                    let condition =
                        Expr::cust("imprint_grams(images.search_text)").binary(BinOper::Custom("@>"), wanted);
                    self.accesses.push(Access { condition, counted: None });
                }
            }
        }
    }

    fn find_ids(&mut self, ids: SelectStatement) {
        let condition = column(row::Column::Id).in_subquery(ids.clone());
        self.accesses.push(Access { condition, counted: Some(ids) });
    }
}

/// Hides a condition from the planners, so that no index is used for it: they take an index of an
/// equal column for a good one, or a word for a rare one, and read and sort all that it has.
pub(super) fn hidden(condition: SimpleExpr) -> SimpleExpr {
    condition.binary(BinOper::Custom("is"), Expr::cust("true"))
}

fn column(column: row::Column) -> SimpleExpr {
    Expr::col((row::Entity, column))
}

fn words(filter: &ImageFilter) -> &[String] {
    filter.search.as_ref().map_or(&[], |search| search.words())
}

/// How a tag stands in a searched text: as a part of its own.
fn tag_in_text(key: &str) -> String {
    format!("{SEPARATOR}{key}{SEPARATOR}")
}

/// Whether a text contains a word.
fn contains(backend: DatabaseBackend, word: &str) -> SimpleExpr {
    let text = Expr::col((row::Entity, row::Column::SearchText));
    match backend {
        DatabaseBackend::Sqlite => {
            let mut pattern = String::from("%");
            for c in word.chars() {
                if matches!(c, '%' | '_' | '\\') {
                    pattern.push('\\');
                }
                pattern.push(c);
            }
            pattern.push('%');
            text.like(LikeExpr::new(pattern).escape('\\'))
        }
        _ => Expr::from(Func::cust("strpos").arg(text).arg(word)).gt(0),
    }
}

/// Selects the ids of images with all of those sequences in their texts, from SQLite's full-text
/// table.
fn containing(grams: &[String]) -> SelectStatement {
    let quoted: Vec<_> = grams.iter().map(|gram| format!("\"{}\"", gram.replace('"', "\"\""))).collect();
    let numbers = Query::select()
        .column("rowid")
        .from("image_grams")
        .and_where(Expr::cust("image_grams").binary(BinOper::Custom("match"), quoted.join(" ")))
        .to_owned();
    Query::select()
        .column("image_id")
        .from("image_search")
        .and_where(Expr::col("number").in_subquery(numbers))
        .to_owned()
}

/// The sequences of [`GRAM`] characters of some words, and whole words that are shorter but not
/// shorter than `shortest`; at most [`MAX_GRAMS`], from the beginning to the end.
fn grams<'a>(words: impl IntoIterator<Item = &'a String>, shortest: usize) -> Vec<String> {
    let mut all = Vec::new();
    for word in words {
        let chars: Vec<char> = word.chars().collect();
        if chars.len() >= GRAM {
            all.extend(chars.windows(GRAM).map(|gram| gram.iter().collect::<String>()));
        } else if chars.len() >= shortest {
            all.push(word.clone());
        }
    }
    all.sort();
    all.dedup();
    let step = all.len().div_ceil(MAX_GRAMS).max(1);
    all.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_are_looked_up_by_their_sequences() {
        assert_eq!(grams(&words("web-1 v2 äöüß"), 3), ["b-1", "eb-", "web", "äöü", "öüß"]);
        assert_eq!(grams(&words("v2 日本"), 1), ["v2", "日本"]);
        assert!(grams(&words("v2 x"), 3).is_empty());
        let long: String = ('a'..='z').chain('0'..='9').collect();
        let some = grams(&[long.clone()], 3);
        assert!(some.len() <= MAX_GRAMS && some.iter().all(|gram| long.contains(gram.as_str())), "{some:?}");
    }
}
