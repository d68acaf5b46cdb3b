//! Every secret is rotated, by the steps of `docs/operate.md` ("Rotate every secret") and, for the
//! sealing key, `docs/runbook.md`, with the times to wait that stand there.

use crate::test::case::Case;

pub(super) static ROTATIONS: [Case; 12] = [
    Case::new(
        "rotated: the sealing key",
        "
keys=latchkey-secrets/base
pair=$(kubectl -n $NAMESPACE exec deployment/refresh-svc -- /usr/local/bin/refresh-svc keys generate)
former=$(cat $keys/refresh-svc/sealing-private-keys)
private=$(sed -n 's/^SEALING_PRIVATE_KEYS=//p' <<<\"$pair\")
[ -n \"$private\" ]
printf '%s,%s' \"$former\" \"$private\" >$keys/refresh-svc/sealing-private-keys
rotate refresh-svc
printf '%s,%s' \"$private\" \"$former\" >$keys/refresh-svc/sealing-private-keys
rotate refresh-svc
sed -n 's/^SEALING_PUBLIC_KEY=//p' <<<\"$pair\" | tr -d '\\n' >$keys/auth-svc/sealing-public-key
rotate auth-svc
# Sign-ins from before the last step are sealed again within SEALING_RESEAL_EVERY, ten minutes.
for _ in {1..120}; do
    unused=$(kubectl -n $NAMESPACE exec deployment/refresh-svc -- /usr/local/bin/refresh-svc keys status |
        grep \"^key ${former%%:*} *unused\") && break
    sleep 10
done
[ -n \"$unused\" ]
printf '%s' \"$private\" >$keys/refresh-svc/sealing-private-keys
rotate refresh-svc
kubectl -n $NAMESPACE exec deployment/refresh-svc -- /usr/local/bin/refresh-svc check
",
    ),
    Case::new(
        "rotated: the signing key of access tokens",
        "
file=latchkey-secrets/base/auth-svc/session-signing-keys
former=$(cat $file)
key=$(deploy/kubernetes/latchkey keys generate |
    sed -n 's/^SESSION_SIGNING_KEYS=//p')
[ -n \"$key\" ]
printf '%s,%s' \"$former\" \"$key\" >$file
rotate auth-svc
published ${former%%:*} ${key%%:*}
sleep 600
printf '%s,%s' \"$key\" \"$former\" >$file
rotate auth-svc
published ${key%%:*} ${former%%:*}
# ACCESS_TOKEN_EXPIRES_IN of the overlay.
sleep 60
printf '%s' \"$key\" >$file
rotate auth-svc
published ${key%%:*}
",
    ),
    Case::new(
        "rotated: the key of the flow cookie",
        "
file=latchkey-secrets/base/auth-svc/flow-cookie-keys
former=$(cat $file)
key=k2:$(openssl rand 32 | base64 -w0 | tr '+/' '-_' | tr -d '=')
printf '%s,%s' \"$former\" \"$key\" >$file
rotate auth-svc
printf '%s,%s' \"$key\" \"$former\" >$file
rotate auth-svc
sleep 600
printf '%s' \"$key\" >$file
rotate auth-svc
",
    ),
    Case::new(
        "rotated: database password of auth-svc",
        "second_role auth-svc latchkey_auth\n",
    ),
    Case::new(
        "rotated: database password of sync-svc",
        "second_role sync-svc latchkey_sync\n",
    ),
    Case::new(
        "rotated: database password of refresh-svc",
        "second_role refresh-svc latchkey_refresh\n",
    ),
    // And back, because other tests use the owner's URL of the README.
    Case::new(
        "rotated: database password of the owner",
        "
url=$DATABASE_OWNER_URL
former=${url#*://*:}
former=${former%%@*}
for password in $(openssl rand -hex 24) $former; do
    psql \"$url\" -v ON_ERROR_STOP=1 -c \"ALTER ROLE latchkey PASSWORD '$password'\"
    url=postgres://latchkey:$password@${url##*@}
    printf '%s' \"$url\" >latchkey-secrets/base/migrate/database-url
    replace migrate
    kubectl -n $NAMESPACE delete job -l app.kubernetes.io/name=migrate
    kubectl apply -k deploy/kubernetes/overlays/load -l app.kubernetes.io/name=migrate
    kubectl -n $NAMESPACE wait --for=condition=Complete job -l app.kubernetes.io/name=migrate --timeout=5m
done
",
    ),
    Case::new(
        "rotated: broker password of auth-svc",
        "second_user auth-svc\n",
    ),
    Case::new(
        "rotated: broker password of sync-svc",
        "second_user sync-svc\n",
    ),
    Case::new(
        "rotated: broker password of refresh-svc",
        "second_user refresh-svc\n",
    ),
    Case::new(
        "rotated: client secret of the provider",
        "
file=latchkey-secrets/base/providers/google-client-secret
former=$(cat $file)
secret=$(openssl rand -hex 24)
client_secrets \"{\\\"client_secrets\\\": [\\\"$former\\\", \\\"$secret\\\"]}\"
printf '%s' \"$secret\" >$file
replace providers
kubectl -n $NAMESPACE rollout restart deployment auth-svc refresh-svc
rolled_out
client_secrets \"{\\\"client_secrets\\\": [\\\"$secret\\\"]}\"
",
    ),
    // The roll-outs make every connection anew.
    Case::new(
        "rotated: the authority of the certificates",
        "
mkdir next-ca
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out next-ca/ca.key
openssl req -x509 -new -key next-ca/ca.key -days 3650 -subj '/CN=Latchkey 2' -out next-ca/ca.crt
trust latchkey-secrets/ca/ca.crt next-ca/ca.crt
issue latchkey-secrets/client next-ca
for service in auth-svc sync-svc refresh-svc; do
    issue latchkey-secrets/base/$service-tls next-ca
    replace $service-tls
done
kubectl -n $NAMESPACE rollout restart deployment auth-svc sync-svc refresh-svc
rolled_out
trust next-ca/ca.crt
kubectl -n $NAMESPACE rollout restart deployment auth-svc sync-svc refresh-svc
rolled_out
shows sync-svc 50052 latchkey-secrets/base/sync-svc-tls/tls.crt
shows refresh-svc 50051 latchkey-secrets/base/refresh-svc-tls/tls.crt
cp next-ca/* latchkey-secrets/ca/
",
    ),
];
