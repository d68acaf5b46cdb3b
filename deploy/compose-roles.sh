#!/usr/bin/env bash
# Creates the login roles of the three services and of the operator together with the database, and
# the group roles, which hold the privileges that the migrations grant.
set -euo pipefail

login() { # name, group, file of the password
    psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
        --set=login="$1" --set=group="$2" --set=password="$(cat "$3")" <<'SQL'
CREATE ROLE :"group" NOLOGIN;
CREATE ROLE :"login" LOGIN PASSWORD :'password' IN ROLE :"group";
SQL
}

login auth_svc latchkey_auth /run/secrets/auth_password
login sync_svc latchkey_sync /run/secrets/sync_password
login refresh_svc latchkey_refresh /run/secrets/refresh_password
login operator latchkey_operator /run/secrets/operator_password
