"""The user of a group's own server keeps nothing of somebody whose name it was."""

from __future__ import annotations

from types import SimpleNamespace

from jupyterhub import orm, roles
from jupyterhub.roles import get_default_roles

from hubwright.engines.granting import SERVER_SCOPES
from hubwright.hub import teams


def test_sessions_tokens_shares_and_rights_of_a_person_end_and_the_servers_token_stays() -> None:
    db = orm.new_session_factory("sqlite:///:memory:")()
    try:
        for told in get_default_roles():
            roles.create_role(db, told)
        db.add(orm.OAuthClient(identifier="jupyterhub"))
        user, friend, group = orm.User(name="team-a", admin=True), orm.User(name="friend"), orm.Group(name="others")
        server = orm.Spawner(name="", user=user)
        db.add_all([user, friend, group, server])
        db.commit()
        user.groups.append(group)
        roles.grant_role(db, user, "admin")
        cookie = user.cookie_id
        own = user.new_api_token(scopes=SERVER_SCOPES)
        others = [user.new_api_token(), user.new_api_token(roles=["user"])]
        orm.Share.grant(db, server, friend)
        orm.ShareCode.new(db, server, scopes=["access:servers!server=team-a/"])
        db.commit()
        teams.add(SimpleNamespace(db=db, teams={"team-a": {}, "team-b": {}}))
        assert user.cookie_id != cookie
        assert not user.admin and [role.name for role in user.roles] == ["user"] and not user.groups
        assert orm.APIToken.find(db, own) is not None
        assert [orm.APIToken.find(db, one) for one in others] == [None, None]
        assert db.query(orm.Share).count() == db.query(orm.ShareCode).count() == 0
        assert orm.User.find(db, "team-b") is not None
    finally:
        db.close()
