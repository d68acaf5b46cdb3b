# Functions for the commands of the tests.

# Waits until the new pods serve and the old ones have ended: 15 s of SHUTDOWN_DELAY and the rest.
rolled_out() {
    local selector=app.kubernetes.io/part-of=latchkey
    kubectl -n "$NAMESPACE" rollout status deployment -l $selector --timeout=10m
    for _ in {1..90}; do
        [ -n "$(kubectl -n "$NAMESPACE" get pods -l $selector \
            -o jsonpath='{.items[*].metadata.deletionTimestamp}')" ] || return 0
        sleep 1
    done
    echo 'pods do not end' >&2
    return 1
}
# Checks that the roll-out of a service does not come to its end.
stuck() {
    if kubectl -n "$NAMESPACE" rollout status "deployment/$1" --timeout=20s; then
        echo "$1 was rolled out" >&2
        return 1
    fi
}
secret() {
    kubectl -n "$NAMESPACE" create secret generic "$@"
}
# Replaces a Secret by its directory.
replace() {
    secret "$1" --from-file="latchkey-secrets/base/$1" --dry-run=client -o yaml | kubectl apply -f -
}
# Replaces the Secret of a service, which reads it at its start.
rotate() {
    replace "$1"
    kubectl -n "$NAMESPACE" rollout restart "deployment/$1"
    rolled_out
}
# Prints a field of the pods of a service.
pods() {
    kubectl -n "$NAMESPACE" get pods -l "app.kubernetes.io/name=$1" -o jsonpath="{.items[*]$2}"
}
# Prints the images of the services.
images() {
    local service
    for service in auth-svc sync-svc refresh-svc; do
        pods $service '.spec.containers[0].image'
        echo
    done
}
# Writes a new key and a certificate with the names and usages of the old one.
issue() { # directory with tls.crt, directory with ca.crt and ca.key
    local extensions
    extensions=$(openssl x509 -in "$1/tls.crt" -noout -ext subjectAltName,extendedKeyUsage |
        sed -n 's/^ *\(DNS:\)/subjectAltName=\1/p; s/^ *TLS Web Server.*/extendedKeyUsage=serverAuth/p;
            s/^ *TLS Web Client.*/extendedKeyUsage=clientAuth/p')
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1/tls.key"
    openssl req -new -key "$1/tls.key" -subj "/CN=$(basename "$1")" |
        openssl x509 -req -CA "$2/ca.crt" -CAkey "$2/ca.key" -days 30 \
            -extfile <(printf '%s\n' "$extensions") -out "$1/tls.crt"
}
# Makes these authorities the trusted ones of the services and of the caller. The kubelet replaces the
# files, and then the services read them.
trust() { # certificates
    local name
    for name in base/auth-svc-tls base/sync-svc-tls base/refresh-svc-tls client; do
        cat "$@" >"latchkey-secrets/$name/ca.crt"
    done
    for name in auth-svc-tls sync-svc-tls refresh-svc-tls; do
        replace $name
    done
    sleep 180
}
# Tells the demo provider which client secrets are valid beside its own, which it may also refuse.
client_secrets() { # JSON of the settings
    local address
    address=$(kubectl -n "$NAMESPACE" get service demo-provider -o jsonpath='{.spec.clusterIP}')
    curl -sSf -m 30 --cacert latchkey-secrets/dev/demo-provider-tls/ca.crt --noproxy '*' \
        --resolve "demo-provider:8443:$address" -H 'Content-Type: application/json' -X PATCH -d "$1" \
        https://demo-provider:8443/control/settings >/dev/null
}
# Gives a service a second login role with another password, and removes the first one.
second_role() { # service, group
    local role=${1//-/_} file=latchkey-secrets/base/$1/database-url password url
    password=$(openssl rand -hex 24)
    url=$(cat "$file")
    psql "$DATABASE_OWNER_URL" -v ON_ERROR_STOP=1 \
        -c "CREATE ROLE ${role}_2 LOGIN PASSWORD '$password' IN ROLE $2"
    printf 'postgres://%s_2:%s@%s' "$role" "$password" "${url##*@}" >"$file"
    rotate "$1"
    psql "$DATABASE_OWNER_URL" -v ON_ERROR_STOP=1 -c "DROP ROLE $role"
}
# Gives a service a second user of the broker with the rights of the first, and removes the first one.
second_user() { # service
    local file=latchkey-secrets/base/$1/amqp-url password url
    password=$(openssl rand -hex 24)
    url=$(cat "$file")
    rights() { rabbitmqctl --quiet --formatter=json "list_user_$1" "$2"; } # kind, user
    # A value of that JSON, in which only backslashes are escaped.
    right() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | sed 's/\\\\/\\/g'; }
    local permissions topics
    permissions=$(rights permissions "$1")
    topics=$(rights topic_permissions "$1")
    rabbitmqctl add_user "$1-2" "$password"
    rabbitmqctl set_permissions -p latchkey "$1-2" "$(right configure <<<"$permissions")" \
        "$(right write <<<"$permissions")" "$(right read <<<"$permissions")"
    case $topics in
    *latchkey.events*)
        rabbitmqctl set_topic_permissions -p latchkey "$1-2" latchkey.events \
            "$(right write <<<"$topics")" ''
        ;;
    esac
    [ "$(rights permissions "$1-2")" = "$permissions" ]
    [ "$(rights topic_permissions "$1-2")" = "$topics" ]
    printf 'amqp://%s-2:%s@%s' "$1" "$password" "${url##*@}" >"$file"
    rotate "$1"
    rabbitmqctl delete_user "$1"
}
# Checks that each pod of auth-svc publishes these keys of access tokens, in this order, and no other.
published() { # ids
    local address keys
    for address in $(pods auth-svc .status.podIP); do
        keys=$(
            exec 3<>"/dev/tcp/$address/8080"
            printf 'GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n' >&3
            grep -o '"kid": *"[^"]*"' <&3 | sed 's/.*"\([^"]*\)"$/\1/' | tr '\n' ' '
        )
        if [ "$keys" != "$* " ]; then
            echo "auth-svc at $address publishes $keys" >&2
            return 1
        fi
    done
}
# Prints how often containers of the services were restarted.
restarts() {
    local counts
    counts=$(kubectl -n "$NAMESPACE" get pods -l app.kubernetes.io/component=service \
        -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}')
    echo $((${counts// /+}))
}
# Drops what pods send to a port of the servers, until `open`. The rule stands before those of
# the network policies, which accept what they allow.
close() {
    trap 'open 5432; open 5672' EXIT
    iptables -t mangle -I PREROUTING -d 10.99.0.1 -p tcp --dport "$1" -j DROP
}
open() {
    iptables -t mangle -D PREROUTING -d 10.99.0.1 -p tcp --dport "$1" -j DROP 2>/dev/null || true
}
# Waits until the pods of a service, or of all, are ready (true) or not (false).
ready() {
    kubectl -n "$NAMESPACE" wait pod --for="condition=Ready=$1" --timeout=2m \
        -l "app.kubernetes.io/component=service${2+,app.kubernetes.io/name=$2}"
}
# Waits until an event tells an operator what is wrong.
told() {
    for _ in {1..90}; do
        case $(kubectl -n "$NAMESPACE" get events -o custom-columns=M:.message) in
        *"$1"*) return 0 ;;
        esac
        sleep 1
    done
    echo "no event says $1" >&2
    return 1
}
# Checks that each pod of a service shows the certificate of a file.
shows() { # service, port, file
    local address shown wanted
    wanted=$(openssl x509 -noout -fingerprint -in "$3")
    for address in $(pods "$1" .status.podIP); do
        # The server ends the connection, because this client has no certificate.
        shown=$(openssl s_client -connect "$address:$2" -servername "$1" -alpn h2 </dev/null 2>/dev/null |
            openssl x509 -noout -fingerprint) || true
        if [ "$shown" != "$wanted" ]; then
            echo "$1 at $address does not show the renewed certificate" >&2
            return 1
        fi
    done
}
# The new pods of refresh-svc look for PostgreSQL where nothing listens.
elsewhere() { # more of the container
    kubectl -n "$NAMESPACE" patch deployment refresh-svc --patch "
spec:
  template:
    spec:
      containers:
        - name: refresh-svc
          env:
            - { name: DATABASE_URL_FILE, \$patch: delete }
            - { name: DATABASE_URL, value: 'postgres://refresh_svc:none@10.99.0.1:5433/latchkey' }
          ${1-}
"
}
# Prints the objects with which the API server finds the metrics that this program serves.
metrics_api() {
    cat <<'YAML'
apiVersion: v1
kind: Service
metadata: { name: metrics, namespace: kube-system }
spec: { type: ExternalName, externalName: localhost }
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: v1beta1.metrics.k8s.io }
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: { namespace: kube-system, name: metrics, port: 9443 }
YAML
}
