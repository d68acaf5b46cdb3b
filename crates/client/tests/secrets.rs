//! Secrets are not printed (R35).

use latchkey_client::MutualTls;

use crate::support::World;

// R35
#[tokio::test]
async fn no_token_prints() {
    let world = World::create().await;
    let client = world.client();
    let token = client.access_token(world.account).await.unwrap();
    assert_eq!(token.expose(), "secret-1");
    let printed = format!("{token:?} {client:?} {:?}", token.authorization());
    assert!(!printed.contains("secret-1"), "{printed}");
}

// R35
#[tokio::test]
async fn no_private_key_prints() {
    let world = World::create().await;
    let read = |path| std::fs::read(path).unwrap();
    let client = &world.certificates.client;
    let key = String::from_utf8(read(&client.key)).unwrap();
    let tls = MutualTls::from_pem(
        read(&world.certificates.authority),
        read(&client.certificate),
        key.clone(),
    )
    .unwrap();
    let printed = format!("{tls:?} {:?} {:?}", world.builder(), world.client());
    for line in key.lines() {
        assert!(!printed.contains(line), "{printed}");
    }
}
