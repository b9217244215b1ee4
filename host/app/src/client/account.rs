//! `imprint admin account ...`: accounts and their limits.

use imprint_api::dto::account::{Account, AccountCreate, AccountPatch};
use imprint_domain::size::ByteSize;
use reqwest::Method;

use super::{
    api::Api,
    args::{AccountCommand, AccountCreateArgs, AccountSetArgs, Limit},
    failure::Failure,
    find,
    login::read_password,
    output::{Output, size, text, time},
    table::Table,
};

pub(crate) async fn run(api: &Api, output: Output, command: AccountCommand) -> Result<(), Failure> {
    match command {
        AccountCommand::List => list(api, output).await,
        AccountCommand::Create(args) => create(api, output, args).await,
        AccountCommand::Set(args) => set(api, output, args).await,
    }
}

async fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let accounts = api.list::<Account>("/admin/accounts", &[]).await?;
    output.print(&accounts, || {
        let rows = accounts.items.iter().map(|account| {
            [
                account.name.clone(),
                account.role.to_string(),
                account.images_used.to_string(),
                text(account.image_limit),
                size(Some(account.image_bytes_used)),
                size(account.image_bytes_limit),
                account.id.to_string(),
            ]
        });
        let headings = ["NAME", "ROLE", "IMAGES", "IMAGE LIMIT", "SIZE", "SIZE LIMIT", "ID"];
        Table::list(headings, rows, "no accounts")
    })
}

async fn create(api: &Api, output: Output, args: AccountCreateArgs) -> Result<(), Failure> {
    let password = read_password(args.password_stdin, &args.name, "use --password-stdin")?;
    let body = AccountCreate {
        name: args.name,
        password,
        role: args.role,
        image_limit: args.limits.image_limit.and_then(|Limit(limit)| limit),
        image_bytes_limit: args.limits.image_bytes_limit.and_then(|Limit(limit)| limit).map(ByteSize::bytes),
    };
    let request = api.request(Method::POST, "/admin/accounts").json(&body);
    let account: Account = api.once(request).await?;
    output.print(&account, || details(&account))
}

async fn set(api: &Api, output: Output, args: AccountSetArgs) -> Result<(), Failure> {
    let id = find::account(api, &args.account).await?;
    let patch = AccountPatch {
        image_limit: args.limits.image_limit.map(|Limit(limit)| limit),
        image_bytes_limit: args.limits.image_bytes_limit.map(|Limit(limit)| limit.map(ByteSize::bytes)),
    };
    let request = api.request(Method::PATCH, &format!("/admin/accounts/{id}")).json(&patch);
    let account: Account = api.once(request).await?;
    output.print(&account, || details(&account))
}

fn details(account: &Account) -> Table {
    Table::details([
        ("id", account.id.to_string()),
        ("name", account.name.clone()),
        ("role", account.role.to_string()),
        ("images", account.images_used.to_string()),
        ("image limit", text(account.image_limit)),
        ("size of its images", size(Some(account.image_bytes_used))),
        ("size limit", size(account.image_bytes_limit)),
        ("created", time(Some(account.created_at))),
    ])
}
