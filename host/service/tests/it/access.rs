//! Signing in, sessions and tokens.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use imprint_domain::{Code, account::Scope, id::RequestId, time::Environment};
use imprint_service::{SignIn, SignedIn, TokenCreate};
use uuid::Uuid;

use crate::support::{World, name, op};

async fn sign_in(world: &World, password: &str) -> Result<SignedIn, imprint_domain::Error> {
    let request = SignIn {
        account: "customer".into(),
        password: password.into(),
        request_id: RequestId::new(Uuid::from_u128(3)),
    };
    world.service.session_create(request).await
}

pub(crate) async fn sessions_end_by_time_and_on_request(world: World) {
    let token = sign_in(&world, "correct horse").await.unwrap().token;
    let authenticate = async |token: &str| world.service.session_authenticate(token).await;
    assert_eq!(authenticate(&token).await.unwrap().account.name, name("customer"));
    for wrong in ["", "00", &token[1..], &token.replace(&token[..2], "zz"), &"0".repeat(64)] {
        assert_eq!(authenticate(wrong).await.unwrap_err().code, Code::Unauthenticated);
    }
    // Used now and then it lasts, but not for ever.
    for _ in 0..14 {
        world.environment.advance(11 * 3600);
        authenticate(&token).await.unwrap();
    }
    world.environment.advance(11 * 3600);
    let at = authenticate(&token).await;
    assert!(at.is_ok(), "165 hours are less than seven days");
    world.environment.advance(3 * 3600);
    assert_eq!(authenticate(&token).await.unwrap_err().code, Code::Unauthenticated, "seven days");
    let token = sign_in(&world, "correct horse").await.unwrap().token;
    world.environment.advance(12 * 3600);
    assert_eq!(authenticate(&token).await.unwrap_err().code, Code::Unauthenticated, "not used");
    let token = sign_in(&world, "correct horse").await.unwrap().token;
    let actor = authenticate(&token).await.unwrap();
    world.service.session_delete(&op(actor)).await.unwrap();
    assert_eq!(authenticate(&token).await.unwrap_err().code, Code::Unauthenticated);
    assert!(world.service.reconcile_once().await.unwrap().rows >= 2, "old sessions are removed");
}

pub(crate) async fn guessing_a_password_is_slowed_down(world: World) {
    for _ in 0..100 {
        assert_eq!(sign_in(&world, "wrong horse").await.unwrap_err().code, Code::SignInFailed);
    }
    let limited = sign_in(&world, "correct horse").await.unwrap_err();
    assert_eq!(limited.code, Code::RateLimited);
    assert_eq!(limited.context["retry_after_s"], "300");
    world.environment.advance(300);
    sign_in(&world, "correct horse").await.unwrap();
    let request = SignIn {
        account: "unknown".into(),
        password: "correct horse".into(),
        request_id: RequestId::new(Uuid::from_u128(3)),
    };
    assert_eq!(world.service.session_create(request).await.unwrap_err().code, Code::SignInFailed);
}

pub(crate) async fn tokens_do_what_their_scopes_say(world: World) {
    let create = |scopes: &[Scope], hours: i64| TokenCreate {
        name: name("script"),
        scopes: scopes.iter().copied().collect(),
        expires_at: Some(world.environment.now() + TimeDelta::hours(hours)),
    };
    for scopes in [&[][..], &[Scope::Admin][..], &[Scope::Agent][..]] {
        let error = world.service.token_create(&world.customer, create(scopes, 1)).await.unwrap_err();
        assert_eq!(error.code, Code::InvalidRequest, "{scopes:?}");
    }
    let past = world.service.token_create(&world.customer, create(&[Scope::ImagesRead], 0)).await;
    assert_eq!(past.unwrap_err().pointer.as_deref(), Some("/expires_at"));
    let made = world.service.token_create(&world.customer, create(&[Scope::ImagesRead], 1)).await.unwrap();
    assert!(!format!("{made:?}").contains(&made.token), "a token is not printed by accident");
    let actor = world.service.token_authenticate(&made.token).await.unwrap();
    assert_eq!(actor.scopes, BTreeSet::from([Scope::ImagesRead]));
    // A token that may only read makes no tokens, and none makes one that does more or lasts
    // longer.
    let made_by_reader = world.service.token_create(&op(actor), create(&[Scope::ImagesRead], 1)).await;
    assert_eq!(made_by_reader.unwrap_err().code, Code::Forbidden);
    let writer = world.service.token_create(&world.admin, create(&[Scope::ImagesWrite], 1)).await.unwrap();
    let writer = op(world.service.token_authenticate(&writer.token).await.unwrap());
    let more = world.service.token_create(&writer, create(&[Scope::Admin], 1)).await.unwrap_err();
    assert_eq!(more.pointer.as_deref(), Some("/scopes"));
    let longer = world.service.token_create(&writer, create(&[Scope::ImagesWrite], 2)).await.unwrap_err();
    assert_eq!(longer.pointer.as_deref(), Some("/expires_at"));
    world.service.token_create(&writer, create(&[Scope::ImagesWrite], 1)).await.unwrap();
    let mut tampered = made.token.clone().into_bytes();
    let last = tampered.len() - 1;
    tampered[last] = if tampered[last] == b'0' { b'1' } else { b'0' };
    let tampered = String::from_utf8(tampered).unwrap();
    for wrong in ["", "imp_", "Bearer x", &tampered, &made.token[..made.token.len() - 1]] {
        let error = world.service.token_authenticate(wrong).await.unwrap_err();
        assert_eq!(error.code, Code::Unauthenticated);
    }
    let listed = world.service.token_list(&world.customer, &imprint_service::PageRequest::default()).await;
    assert_eq!(listed.unwrap().items, std::slice::from_ref(&made.view));
    let foreign = world.service.token_delete(&world.other, made.view.id).await.unwrap_err();
    assert_eq!(foreign.code, Code::NotFound);
    world.environment.advance(3600);
    let expired = world.service.token_authenticate(&made.token).await.unwrap_err();
    assert_eq!(expired.code, Code::Unauthenticated);
    let made = world.service.token_create(&world.customer, create(&[Scope::ImagesRead], 1)).await.unwrap();
    world.service.token_delete(&world.customer, made.view.id).await.unwrap();
    let revoked = world.service.token_authenticate(&made.token).await.unwrap_err();
    assert_eq!(revoked.code, Code::Unauthenticated);
}

pub(crate) async fn agent_tokens_are_accepted_by_agent_endpoints_only(world: World) {
    let made = world.service.agent_token_create(&world.admin, world.hypervisor).await.unwrap();
    let peer = world.service.agent_authenticate(&made.token).await.unwrap();
    assert_eq!(peer.hypervisor_id, world.hypervisor);
    let as_person = world.service.token_authenticate(&made.token).await.unwrap_err();
    assert_eq!(as_person.code, Code::Unauthenticated);
    let scopes = BTreeSet::from([Scope::Admin]);
    let request = TokenCreate { name: name("ops"), scopes, expires_at: None };
    let created = world.service.token_create(&world.admin, request).await.unwrap();
    let as_agent = world.service.agent_authenticate(&created.token).await.unwrap_err();
    assert_eq!(as_agent.code, Code::Unauthenticated);
    world.service.token_delete(&world.admin, made.view.id).await.unwrap();
    assert_eq!(world.service.agent_authenticate(&made.token).await.unwrap_err().code, Code::Unauthenticated);
}
