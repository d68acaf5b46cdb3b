"""`django-oauth-toolkit` as an OpenID provider, with one client and one person.

It rotates refresh tokens, and ends the grant of one that is used twice. See
tests/foreign_provider/main.rs.
"""

import os
import pathlib
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.management import call_command
from django.urls import include, path

PORT = int(os.environ["PORT"])
PERSON = os.environ["PERSON"]
DATA = pathlib.Path(os.environ["DATA"])

key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)

DATA.unlink(missing_ok=True)
settings.configure(
    SECRET_KEY="only for this test",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    # A file, because a database in memory belongs to one thread.
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA)}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        f"{__name__}.already_signed_in",
    ],
    # A slow password hash is not useful in a test.
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    OAUTH2_PROVIDER={
        "OIDC_ENABLED": True,
        "OIDC_ISS_ENDPOINT": f"http://127.0.0.1:{PORT}/o",
        "OIDC_RSA_PRIVATE_KEY": key.decode(),
        "OAUTH2_VALIDATOR_CLASS": f"{__name__}.Validator",
        "PKCE_REQUIRED": True,
        "ROTATE_REFRESH_TOKEN": True,
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
        "REFRESH_TOKEN_EXPIRE_SECONDS": 86400,
        "ALLOWED_REDIRECT_URI_SCHEMES": ["http", "https"],
        "SCOPES": {
            "openid": "who you are",
            "email": "your address",
            "profile": "your name",
            "offline_access": "while you are away",
            "notes.read": "your notes",
        },
    },
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from oauth2_provider.models import get_application_model  # noqa: E402
from oauth2_provider.oauth2_validators import OAuth2Validator  # noqa: E402


class Validator(OAuth2Validator):
    """Adds the mail address and the name, which the toolkit leaves to its users."""

    oidc_claim_scope = None

    def get_additional_claims(self, request):
        return {
            "email": request.user.email,
            "email_verified": True,
            "name": request.user.get_full_name(),
        }


def already_signed_in(get_response):
    """A person who is already signed in at the provider."""

    def answer(request):
        request.user = get_user_model().objects.get(email=PERSON)
        return get_response(request)

    return answer


urlpatterns = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]


class Quiet(WSGIRequestHandler):
    """Logs no requests and resolves no names."""

    def log_message(self, *_arguments):
        pass

    def address_string(self):
        return self.client_address[0]


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    person = get_user_model().objects.create_user(
        PERSON, PERSON, "any", first_name="Ada", last_name="Lovelace"
    )
    application = get_application_model()
    application.objects.create(
        name="Latchkey",
        user=person,
        client_id=os.environ["CLIENT_ID"],
        client_secret=os.environ["CLIENT_SECRET"],
        client_type=application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=application.GRANT_AUTHORIZATION_CODE,
        redirect_uris=os.environ["REDIRECT_URIS"],
        algorithm=application.RS256_ALGORITHM,
        skip_authorization=True,
    )
    from django.core.wsgi import get_wsgi_application

    with make_server("127.0.0.1", PORT, get_wsgi_application(), handler_class=Quiet) as server:
        print(f"http://127.0.0.1:{PORT}/o", flush=True)
        server.serve_forever()
