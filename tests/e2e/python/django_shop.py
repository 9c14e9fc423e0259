"""A shop on Django and its own users; where the sessions are, the test says. Nothing in it knows of lightsout."""

from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from shop import Gate, given, serve


def database() -> dict[str, str | int]:
    url = urlsplit(given["database"])
    if url.scheme == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.path}
    at = {"HOST": url.hostname, "PORT": url.port, "USER": url.username, "PASSWORD": url.password}
    return {"ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], **at}


settings.configure(
    SECRET_KEY="keyboard cat, and then some more of it for good measure",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": database()},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": given["redis"]}},
    SESSION_ENGINE=f"django.contrib.sessions.backends.{given['sessions']}",
    SESSION_COOKIE_AGE=3600,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.contrib import auth  # noqa: E402 (needs the settings)

gate = Gate()


def sign_in(request: HttpRequest, login: str) -> JsonResponse:
    user, _ = auth.get_user_model().objects.get_or_create(pk=request.GET["id"], username=login)
    auth.login(request, user)
    return JsonResponse({"login": login})


def me(request: HttpRequest) -> JsonResponse:
    if not request.user.is_authenticated:
        return JsonResponse({"error": "sign in"}, status=401)
    return JsonResponse({"login": request.user.username})


def browse(request: HttpRequest) -> JsonResponse:
    """A request that is under way until the test lets it go on, and only reads its session."""
    answer = me(request)
    gate.wait()
    return answer


def order(request: HttpRequest) -> JsonResponse:
    """The same, but it changes its session at its end."""
    answer = browse(request)
    request.session["orders"] = request.session.get("orders", 0) + 1
    return answer


def under_way(request: HttpRequest) -> JsonResponse:
    return JsonResponse(gate.under_way(), safe=False)


def let_go(request: HttpRequest) -> JsonResponse:
    gate.let_go()
    return JsonResponse({})


urlpatterns = [
    path("login/<str:login>", sign_in),
    path("me", me),
    path("browse", browse),
    path("order", order),
    path("under-way", under_way),
    path("let-go", let_go),
]

call_command("migrate", verbosity=0)
serve(get_wsgi_application())
