//! Sharing of images: the switch of a location, the shares, and their events.

crate::dialect::migration!(
    "m20261130_000036_share_images",
    &[
        "alter table locations add column sharing_enabled boolean not null default false",
        "alter table events add column share_id {id}",
        "create table image_shares (
            id {id} not null constraint pk_image_shares primary key,
            image_id {id} not null constraint fk_image_shares_image references images (id) on delete cascade,
            owner_id {id} not null constraint fk_image_shares_owner references accounts (id) on delete cascade,
            recipient_id {id} not null constraint fk_image_shares_recipient references accounts (id) on delete cascade,
            state text not null constraint ck_image_shares_state check
                (state in ('offered', 'accepted', 'rejected', 'revoked', 'left', 'expired')),
            offered_at {time} not null,
            decided_at {time},
            ended_at {time},
            expires_at {time},
            constraint uq_image_shares_recipient unique (image_id, recipient_id),
            constraint ck_image_shares_recipient check (recipient_id <> owner_id),
            constraint ck_image_shares_ended check ((state in ('offered', 'accepted')) = (ended_at is null))
        )",
        "create index ix_image_shares_image on image_shares (image_id, id)",
        // Of one account: the list of its offers, and what its lists of images are made from.
        "create index ix_image_shares_recipient on image_shares (recipient_id, state, id)",
        "create index ix_image_shares_owner on image_shares (owner_id)",
        "create index ix_image_shares_expires_at on image_shares (expires_at) where ended_at is null",
        "create index ix_image_shares_ended_at on image_shares (ended_at)",
    ]
);
