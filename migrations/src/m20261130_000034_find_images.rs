//! Images: tags, delete protection, and what lists, filters, sorts and searches read.
//!
//! `search_text` is made by the program, as only it knows upper and lower case of all scripts; an
//! empty one is filled in at the next start. Each database finds parts of it by an index of its
//! own: PostgreSQL by the sequences of up to three characters that a text has, SQLite by a
//! full-text table of sequences of three, which triggers keep up to date.

crate::dialect::migration!(
    "m20261130_000034_find_images",
    &[
        "alter table images add column protected boolean not null default false",
        "alter table images add column removal_failed boolean not null default false",
        "alter table images add column search_text {text} not null default ''",
        // A deletion that has failed so far.
        "update images set removal_failed = true where status = 'deleting' and task_id in
            (select id from tasks where kind = 'image.delete' and state = 'failed')",
        "create table image_tags (
            image_id {id} not null constraint fk_image_tags_image references images (id) on delete cascade,
            key {text} not null,
            account_id {id} not null,
            tag text not null,
            constraint pk_image_tags primary key (image_id, key)
        )",
        "create index ix_image_tags_key on image_tags (key, account_id, image_id)",
        // Lists walk these in their order. What follows the id is compared without reading the row.
        "create index ix_images_created on images (account_id, kind, created_at, id, status{covered_text})",
        "create index ix_images_name on images (account_id, kind, name, id, status{covered_text})",
        "create index ix_images_size on images
            (account_id, kind, coalesce(size_bytes, -1), id, status{covered_text})",
        "create index ix_images_all_created on images (created_at, id, status)",
        "create index ix_images_all_name on images (name, id, status)",
        "create index ix_images_all_size on images (coalesce(size_bytes, -1), id, status)",
        "create index ix_images_source on images (source_instance_id)",
        "create index ix_images_search_missing on images (id) where search_text = ''",
        // The cost says that comparing a row by it is no alternative to the index.
        "{postgres}create function imprint_grams(text) returns text[]
            language sql immutable strict parallel safe cost 1000 as $$
                select coalesce(array_agg(distinct substr($1, at, size)), '{}')
                from generate_series(1, 3) size, generate_series(1, length($1) - size + 1) at
            $$",
        // Without a list of pending entries, which every search would have to read.
        "{postgres}create index ix_images_grams on images using gin (imprint_grams(search_text))
            with (fastupdate = off)",
        // Rows of `images` have no number of their own that stays.
        "{sqlite}create table image_search (
            number integer not null constraint pk_image_search primary key,
            image_id blob not null constraint uq_image_search_image unique
                constraint fk_image_search_image references images (id) on delete cascade
        )",
        "{sqlite}create virtual table image_grams using fts5 (
            search_text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
        )",
        "{sqlite}insert into image_search (image_id) select id from images",
        "{sqlite}create trigger tr_images_insert after insert on images begin
            insert into image_search (image_id) values (new.id);
            insert into image_grams (rowid, search_text)
                select number, new.search_text from image_search where image_id = new.id;
        end",
        "{sqlite}create trigger tr_images_update after update of search_text on images
            when old.search_text <> new.search_text begin
            insert or replace into image_grams (rowid, search_text)
                select number, new.search_text from image_search where image_id = new.id;
        end",
        "{sqlite}create trigger tr_images_delete before delete on images begin
            delete from image_grams where rowid = (select number from image_search where image_id = old.id);
        end",
    ]
);
