"""Real shops, each with the lines that its operator writes in the configuration, and no more."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from harness import RedisServer, drop_database, make_database
from shops import BetterAuthShop, Shop

# The longest life of a session in signed cookies.
LIFE_S = 3600


class Place:
    """Where the shops keep their sessions: a Redis of their own with a database each, and others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = RedisServer(folder).start()
        self.numbers = iter(range(16))
        self.postgres = make_database("postgres", folder)

    def redis(self) -> str:
        """A Redis database that no other shop has."""
        return f"{self.server.url}/{next(self.numbers)}"

    def sqlite(self, name: str) -> str:
        return f"sqlite:{self.folder / name}.db"

    def drop(self) -> None:
        self.server.stop()
        drop_database(self.postgres)


# A shop with the systems that its operator configures for it.
Made = tuple[Shop, dict[str, str]]


def express(place: Place, resave: bool = False) -> Made:
    redis = place.redis()
    lines = f"""
        kind = "redis"
        preset = "connect_redis"
        url = "{redis}"
        user_path = "user.login"
    """
    return Shop.node("shop.js", redis=redis, resave=resave), {"": lines}


def express_resave(place: Place) -> Made:
    return express(place, resave=True)


def express_postgres(place: Place) -> Made:
    lines = f"""
        kind = "sql"
        preset = "connect_pg_simple"
        url = "{place.postgres}"
        user_path = "user.login"
    """
    return Shop.node("shop.js", postgres=place.postgres), {"": lines}


def flask(place: Place) -> Made:
    redis = place.redis()
    lines = f"""
        kind = "redis"
        preset = "flask_session"
        url = "{redis}"
    """
    return Shop.python("flask_shop.py", redis=redis), {"": lines}


def django(database: str, redis: str, sessions: str) -> Shop:
    return Shop.python("django_shop.py", database=database, redis=redis, sessions=sessions)


def django_rows(database: str) -> str:
    return f"""
        kind = "sql"
        preset = "django"
        url = "{database}"
    """


def django_cache_of(redis: str) -> str:
    return f"""
        kind = "redis"
        preset = "django_cache"
        url = "{redis}"
        subject = "external_id"
    """


def django_db(place: Place) -> Made:
    database = place.sqlite("django_db")
    return django(database, place.redis(), "db"), {"": django_rows(database)}


def django_postgres(place: Place) -> Made:
    return django(place.postgres, place.redis(), "db"), {"": django_rows(place.postgres)}


def django_cache(place: Place) -> Made:
    redis = place.redis()
    return django(place.sqlite("django_cache"), redis, "cache"), {"": django_cache_of(redis)}


def django_cached_db(place: Place) -> Made:
    """Two places, two systems."""
    database, redis = place.sqlite("django_cached_db"), place.redis()
    cache = django_cache_of(redis) + 'prefix = ":1:django.contrib.sessions.cached_db"\n'
    return django(database, redis, "cached_db"), {"_rows": django_rows(database), "_cache": cache}


def better_auth(place: Place, cookie_cache_s: int | None = None) -> Made:
    file = place.sqlite("better_auth")
    lines = f"""
        kind = "sql"
        preset = "better_auth"
        url = "{file}"
    """
    given = {"file": file.removeprefix("sqlite:"), "cookieCacheS": cookie_cache_s}
    return BetterAuthShop.node("better_auth_shop.js", **given), {"": lines}


def axum_sqlite(place: Place) -> Made:
    file = place.sqlite("axum")
    lines = f"""
        kind = "sql"
        preset = "tower_sessions"
        url = "{file}"
    """
    return Shop.rust("axum_shop", store=f"{file}?mode=rwc"), {"": lines}


def axum_redis(place: Place) -> Made:
    redis = place.redis()
    lines = f"""
        kind = "redis"
        preset = "tower_sessions"
        url = "{redis}"
        user_path = "1.login"
    """
    return Shop.rust("axum_shop", store=redis), {"": lines}


def actix_redis(place: Place) -> Made:
    redis = place.redis()
    lines = f"""
        kind = "redis"
        preset = "actix_session"
        url = "{redis}"
    """
    return Shop.rust("actix_shop", store=redis), {"": lines}


def django_cookies(place: Place) -> Made:
    """No store: nobody can end these sessions before their life is over."""
    lines = f"""
        kind = "stateless"
        life_s = {LIFE_S}
    """
    return django(place.sqlite("django_cookies"), place.redis(), "signed_cookies"), {"": lines}


def tables(name: str, lines: dict[str, str], quiet_time_s: int) -> str:
    """A shop's tables `[[systems]]`."""
    return "".join(
        f'[[systems]]\nname = "{name}{part}"\nquiet_time_s = {quiet_time_s}\n{dedent(text)}\n'
        for part, text in lines.items()
    )
