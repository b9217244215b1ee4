//! `imprint login` and `imprint logout`. Signing in opens a session, makes a token with it, and
//! closes it.

use std::io::{self, Read};

use chrono::{TimeDelta, Utc};
use imprint_api::dto::account::{Session, SessionCreate, TokenCreate, TokenCreated};
use imprint_domain::account::{Role, Scope};
use reqwest::{Method, header};
use serde::Serialize;

use super::{
    api::Api,
    args::LoginArgs,
    credentials::{Credentials, normalize},
    failure::Failure,
    output::{Output, time},
    table::Table,
};
use crate::terminal::note;

/// How long the kept token is valid.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::days(90);

/// The length of the longest password, in bytes.
const MAX_PASSWORD: u64 = 1024;

/// The answer of `imprint login`.
#[derive(Serialize)]
struct SignedIn {
    server: String,
    account: String,
    expires_at: Option<chrono::DateTime<Utc>>,
}

/// Signs in and keeps a token.
///
/// # Errors
///
/// Account or password are missing or wrong, the server cannot be reached, or the token cannot be
/// kept.
pub(crate) async fn login(args: LoginArgs) -> Result<(), Failure> {
    let server = normalize(&args.server)?;
    let account = match args.account {
        Some(account) => account,
        None => ask("Account: ")?,
    };
    let password = password(args.password_stdin, &account)?;
    let api = Api::new(server.clone(), None)?;
    let (cookie, session) = open_session(&api, &SessionCreate { account, password }).await?;
    let token = make_token(&api, &cookie, &session).await;
    // The session is not needed any more, with or without a token. If it cannot be closed, it
    // expires.
    let close = api.request(Method::DELETE, "/sessions/current").header(header::COOKIE, &cookie);
    if let Err(failure) = api.send(close.header("X-Imprint-Csrf", "1")).await {
        note(&format!("cannot close the session of this sign-in, which will expire: {failure}"));
    }
    let token = token?;
    let name = session.account.name;
    revoke_earlier(&server).await;
    Credentials::new(server.clone(), name.clone(), token.id, token.token).write()?;
    let signed_in = SignedIn { server, account: name, expires_at: token.expires_at };
    Output::new(args.output).print(&signed_in, || {
        Table::details([
            ("server", signed_in.server.clone()),
            ("account", signed_in.account.clone()),
            ("signed in until", time(signed_in.expires_at)),
        ])
    })
}

/// Revokes the token of an earlier sign-in to the same server: it is not used any more, and an
/// account has a limited number of tokens.
async fn revoke_earlier(server: &str) {
    let Ok(Some(kept)) = Credentials::read() else { return };
    if kept.server == server
        && let Ok(api) = Api::new(kept.server, Some(&kept.token))
    {
        // If this fails, the token expires.
        drop(api.send(api.request(Method::DELETE, &format!("/api-tokens/{}", kept.token_id))).await);
    }
}

async fn open_session(api: &Api, request: &SessionCreate) -> Result<(String, Session), Failure> {
    let response = api.send(api.request(Method::POST, "/sessions").json(request)).await?;
    let cookie = response
        .headers()
        .get(header::SET_COOKIE)
        .and_then(|value| value.to_str().ok())
        .and_then(|cookie| cookie.split(';').next())
        .map(str::to_owned);
    let wrong = |detail: &str| Failure::Answer { server: api.server().to_owned(), detail: detail.to_owned() };
    let cookie = cookie.ok_or_else(|| wrong("it opened a session without a cookie"))?;
    let session = response.json().await.map_err(|_| wrong("it opened a session that cannot be read"))?;
    Ok((cookie, session))
}

#[expect(clippy::disallowed_methods, reason = "the client has no other clock")]
async fn make_token(api: &Api, cookie: &str, session: &Session) -> Result<TokenCreated, Failure> {
    let mut scopes = vec![Scope::ImagesRead, Scope::ImagesWrite];
    match session.account.role {
        Role::Admin => scopes.push(Scope::Admin),
        Role::Customer => {}
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    let request = TokenCreate {
        name: format!("imprint login on {host}"),
        scopes,
        expires_at: Some(Utc::now() + TOKEN_LIFETIME),
    };
    let call = api.request(Method::POST, "/api-tokens").header(header::COOKIE, cookie);
    api.once(call.header("X-Imprint-Csrf", "1").json(&request)).await
}

fn password(from_stdin: bool, account: &str) -> Result<String, Failure> {
    match std::env::var("IMPRINT_PASSWORD") {
        Ok(password) if !from_stdin => Ok(password),
        _ => read_password(from_stdin, account, "use --password-stdin or IMPRINT_PASSWORD"),
    }
}

/// Reads the password of an account from standard input, or asks for it. `advice` says what to do
/// without a terminal.
pub(crate) fn read_password(from_stdin: bool, account: &str, advice: &str) -> Result<String, Failure> {
    let unread = |cause| Failure::local("cannot read the password", cause);
    if from_stdin {
        let mut text = String::new();
        io::stdin().lock().take(MAX_PASSWORD + 2).read_to_string(&mut text).map_err(unread)?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let terminal = console::Term::stderr();
    if !terminal.is_term() {
        return Err(Failure::Usage(format!("there is no terminal to ask for the password; {advice}")));
    }
    terminal.write_str(&format!("Password of {account}: ")).map_err(unread)?;
    terminal.read_secure_line().map_err(unread)
}

fn ask(question: &str) -> Result<String, Failure> {
    let terminal = console::Term::stderr();
    if !terminal.is_term() {
        return Err(Failure::Usage("name the account with --account or IMPRINT_ACCOUNT".to_owned()));
    }
    let unread = |cause| Failure::local("cannot read the account", cause);
    terminal.write_str(question).map_err(unread)?;
    terminal.read_line().map_err(unread)
}

/// Revokes the kept token and removes it from this machine.
///
/// # Errors
///
/// The token cannot be removed, or the server does not answer; it is removed in any case.
pub(crate) async fn logout() -> Result<(), Failure> {
    let Some(kept) = Credentials::read()? else {
        note("not signed in");
        return Ok(());
    };
    let api = Api::new(kept.server.clone(), Some(&kept.token))?;
    let revoke = api.request(Method::DELETE, &format!("/api-tokens/{}", kept.token_id));
    let revoked = api.send(revoke).await;
    Credentials::remove()?;
    match revoked {
        Ok(_) => Ok(()),
        // The token was not valid any more.
        Err(Failure::Problem(problem)) if matches!(problem.status, 401 | 404) => Ok(()),
        Err(failure) => {
            note(&format!("the token {} is removed here, but not revoked on {}", kept.token_id, kept.server));
            Err(failure)
        }
    }
}
