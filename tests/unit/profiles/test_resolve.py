"""What a start gets: never more than allowed, more for who asks for more, the same whichever way it was asked for."""

import json
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hubwright.fields import format_bytes
from hubwright.profiles import resolve
from hubwright.profiles.config import Profiles
from hubwright.profiles.grants import Amounts, Grant, Machine, Mount, NotGranted, Running
from hubwright.profiles.request import LEAST_MEMORY, Request, options_from_form

G = 2**30
PHARMA = Profiles.model_validate(
    {
        "sizes": {
            "Tiny": {"cpu": 1, "memory": "2G", "processes": 100},
            "Normal": {"cpu": 5, "memory": "10G", "processes": 500},
            "Large": {"cpu": 10, "memory": "40G"},
            "Gpu": {"cpu": 2, "memory": "4G", "gpu": 2},
        },
        "images": {"Python": "base:1", "Old": {"image": "base:0", "help": "for old work"}},
        "default": {
            "sizes": ["Tiny", "Normal"],
            "images": ["Python", "Old"],
            "reserve": {"cpu": 2, "memory": "4G"},
            "home": "/home/{username}",
            "volumes": [{"source": "/srv/{username}", "target": "/data"}],
        },
        "groups": {"lab": {"sizes": ["Large", "Tiny"], "servers": 3}, "gpu": {"sizes": ["Gpu"], "images": ["Old"]}},
        "users": {"ada": {"images": ["Old"], "total": {"cpu": 8, "memory": "16G"}, "servers": 9}},
        "margin": {"cpu": 1, "memory": "8G"},
    }
)
BIG = resolve.machine(PHARMA, 64, 256 * G, ("GPU-a", "GPU-b"))


def allowed(user="bob", *groups, profiles=PHARMA):
    return resolve.entitlement(profiles, user, groups)


def ask(options, user="bob", *groups, running=(), machine=BIG):
    return resolve.grant(allowed(user, *groups), Request.parse(options), running, machine)


def refusal(options, user="bob", *groups, running=(), machine=BIG):
    with pytest.raises(NotGranted) as found:
        ask(options, user, *groups, running=running, machine=machine)
    return found.value


def test_the_first_allowed_entries_are_preselected():
    found = ask(None)
    assert (found.size, found.cpu, found.memory, found.processes) == ("Tiny", 1, 2 * G, 100)
    assert (found.image, found.image_ref) == ("Python", "base:1")
    assert found.home == "/home/bob"
    assert found.volumes == (Mount("/srv/bob", "/data"),)
    assert found.reserve == Amounts()
    assert ask({}, "bob", "lab").size == "Large"


def test_a_user_overrides_his_groups_and_they_the_default_key_by_key():
    found = allowed("ada", "gpu", "lab")
    assert list(found.sizes) == ["Large", "Tiny"], "of two groups the one that is written first counts"
    assert list(found.images) == ["Old"]
    assert found.servers == 9
    assert found.sources["sizes"] == ("profiles", "groups", "lab", "sizes")
    assert found.sources["images"] == ("profiles", "users", "ada", "images")
    assert found.sources["home"] == ("profiles", "default", "home")
    assert "total" not in allowed("bob").sources


def test_a_size_is_an_upper_limit():
    found = ask({"size": "Normal", "cpu": 2, "memory": "3G"})
    assert (found.size, found.cpu, found.memory, found.processes) == ("Normal", 2, 3 * G, 500)
    assert ask({"cpu": 0.5}).cpu == 0.5
    assert (ask({"cpu": 0.5}).size, ask({"cpu": 0.5}).processes) == ("", 500)


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        ({"size": "Large"}, 403, 'no size "Large" for bob; there is Tiny, Normal'),
        ({"size": "tiny"}, 403, 'Perhaps you meant "Tiny"?'),
        ({"size": ""}, 400, "size must be a name"),
        ({"size": ["Tiny"]}, 400, "size must be a name"),
        ({"size": "x" * 1000}, 400, "size must be a name"),
        ({"cpu": 6}, 403, "6 processors were asked for; bob may have at most 5"),
        ({"cpu": 2, "size": "Tiny"}, 403, "the size Tiny has at most 1"),
        ({"memory": "11G"}, 403, "11G of memory were asked for; bob may have at most 10G"),
        ({"cpu": 0}, 400, "cpu must be a number of processors"),
        ({"cpu": -1}, 400, "cpu must be"),
        ({"cpu": 0.001}, 400, "cpu must be"),
        ({"cpu": math.nan}, 400, "cpu must be"),
        ({"cpu": math.inf}, 400, "cpu must be"),
        ({"cpu": 10**400}, 400, "cpu must be"),
        ({"cpu": True}, 400, "cpu must be"),
        ({"cpu": "1"}, 400, "cpu must be"),
        ({"cpu": [1]}, 400, "cpu must be"),
        ({"cpu": 1e9}, 400, "cpu must be"),
        ({"memory": 0}, 400, "memory must be"),
        ({"memory": -(2**30)}, 400, "memory must be"),
        ({"memory": "-1"}, 400, "memory must be"),
        ({"memory": 1.5}, 400, "memory must be"),
        ({"memory": 2.0**30}, 400, "memory must be"),
        ({"memory": math.nan}, 400, "memory must be"),
        ({"memory": 4}, 400, 'Write "4G" for 4 gigabytes'),
        ({"memory": "unlimited"}, 400, "memory must be"),
        ({"memory": "99999999T"}, 400, "memory must be"),
        ({"memory": {}}, 400, "memory must be"),
        ({"image": "base:1"}, 403, "no image"),
        ({"image": "python"}, 403, 'Perhaps you meant "Python"?'),
        ({"image": 1}, 400, "image must be a name"),
        ({"reserve": 1}, 400, "reserve must be an object"),
        ({"reserve": {"cpu": 0}}, 400, "reserve.cpu must be"),
        ({"reserve": {"memory": -1}}, 400, "reserve.memory must be"),
        ({"reserve": {"gpu": 1}}, 400, "reserve.gpu is nothing that can be asked for"),
        ({"home": "/home/ada"}, 403, "home cannot be asked for"),
        ({"volumes": ["/"]}, 403, "volumes cannot be asked for"),
        ({"mem_limit": "80G"}, 400, "mem_limit is nothing that can be asked for"),
        ({"sise": "Tiny"}, 400, 'Perhaps you meant "size"?'),
        ({1: 2}, 400, "1 is nothing"),
        ([], 400, "The request must be an object"),
        ("Tiny", 400, "The request must be an object"),
    ],
)
def test_what_makes_no_sense_or_is_not_allowed_is_refused_in_words(options, status, words):
    found = refusal(options)
    assert (found.status, words in str(found)) == (status, True), str(found)
    assert not found.may_wait


def running(user="eve", server="", **grant):
    return Running(user, server, Grant(**grant))


def test_a_reserve_is_the_smallest_of_asked_allowed_and_size():
    assert ask({"size": "Normal", "reserve": {"cpu": 1, "memory": "1G"}}).reserve == Amounts(1, G)
    assert ask({"size": "Normal", "reserve": {"cpu": 99, "memory": "99G"}}).reserve == Amounts(2, 4 * G)
    assert ask({"size": "Tiny", "reserve": {"cpu": 99, "memory": "99G"}}).reserve == Amounts(1, 2 * G)
    assert ask({"size": "Tiny", "reserve": {"cpu": 1}}).reserve == Amounts(1, 0)


def test_reserves_never_add_up_to_more_than_the_machine_without_its_margin():
    small = resolve.machine(PHARMA, 4, 16 * G)
    assert small.room == Amounts(3, 8 * G)
    others = [running(reserve=Amounts(2, 6 * G))]
    assert ask({"size": "Normal", "reserve": {"memory": "2G"}}, running=others, machine=small).reserve.memory == 2 * G
    found = refusal({"size": "Normal", "reserve": {"memory": "3G"}}, running=others, machine=small)
    assert (found.status, found.may_wait) == (409, True)
    assert "1 of 3 processors and 2G of 8G of memory are free" in str(found)
    assert "when somebody who has reserved stops a server" in str(found)
    idle = [Running("eve", "", others[0].grant, ends=700.0)]
    assert "in 12 minutes, when an idle server is stopped" in str(
        refusal({"size": "Normal", "reserve": {"memory": "3G"}}, running=idle, machine=small)
    )


def test_the_cap_holds_for_reserves():
    capped = PHARMA.model_copy(update={"cap": PHARMA.cap.model_copy(update={"memory": 4 * G})})
    found = resolve.machine(capped, 64, 256 * G)
    assert found.room == Amounts(63, 4 * G)
    tiny = resolve.machine(PHARMA, 2, 9 * G)
    assert refusal({"size": "Normal", "reserve": {"memory": "4G"}}, machine=tiny).status == 403


def test_all_servers_of_a_user_together_and_their_number():
    mine = [running("ada", "a", cpu=5.0, memory=10 * G)]
    assert ask({"size": "Tiny"}, "ada", running=mine).cpu == 1
    found = refusal({"size": "Normal"}, "ada", running=mine)
    assert (found.status, "3 of 8 processors and 6G of 16G of memory are left" in str(found)) == (403, True)
    assert refusal({}, "bob", running=[running("bob", "x")]).status == 403
    assert ask({}, "bob", running=[running("ada", "x")]).size == "Tiny"
    three = [running("bob", name) for name in "abc"]
    assert "may run 3 servers" in str(refusal({}, "bob", "lab", running=three))


def test_gpus_that_nobody_has_are_granted_by_their_ids():
    assert ask({}, "bob", "gpu").gpus == ("GPU-a", "GPU-b")
    assert ask({"size": "Tiny"}).gpus == ()
    assert ask({}, "bob", "gpu", running=[running(gpus=("GPU-x",))]).gpus == ("GPU-a", "GPU-b")
    found = refusal({}, "bob", "gpu", running=[running(gpus=("GPU-b",))])
    words = "This size needs 2 GPUs; 1 of 2 are free now. It may be when somebody who has one stops a server."
    assert (found.status, found.problem.what) == (409, words)
    soon = Running("ada", "", Grant(gpus=("GPU-b",)), 600)
    assert "in 10 minutes, when an idle server" in str(refusal({}, "bob", "gpu", running=[soon]))
    assert refusal({}, "bob", "gpu", machine=Machine(64, 256 * G)).status == 403


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 3)), max_size=30),
    st.lists(st.sampled_from([f"GPU-{letter}" for letter in "abcde"]), unique=True),
)
def test_no_two_running_servers_have_the_same_gpu(steps, gpus):
    """However servers come and go, also through the database of a hub that is started again."""
    sizes = {f"G{many}": {"cpu": 1, "memory": "1G", "gpu": many} for many in (1, 2, 3)}
    profiles = Profiles.model_validate({"sizes": sizes, "default": {"sizes": list(sizes), "servers": 99}})
    there = resolve.machine(profiles, 64, 256 * G, tuple(gpus))
    runs: dict[int, Running] = {}
    for start, server, many in steps:
        others = [one for number, one in runs.items() if number != server]
        runs.pop(server, None)
        if not start:
            continue
        taken = sum(len(one.grant.gpus) for one in others)
        try:
            request = Request.parse({"size": f"G{many}"})
            granted = resolve.grant(resolve.entitlement(profiles, "bob", ()), request, others, there)
        except NotGranted as refused:
            assert many > len(gpus) - taken
            assert refused.status == (403 if many > len(gpus) else 409)
            continue
        assert len(granted.gpus) == many <= len(gpus) - taken
        runs[server] = Running("bob", str(server), Grant.from_json(json.loads(json.dumps(granted.to_json()))))
        held = [gpu for one in runs.values() for gpu in one.grant.gpus]
        assert len(held) == len(set(held)) and set(held) <= set(gpus)


@pytest.mark.parametrize("user", ["", ".", "..", "a/b", "../ada", "a\0b"])
def test_a_name_that_would_lead_to_another_home_is_refused(user):
    with pytest.raises(NotGranted):
        allowed(user)


def test_a_grant_survives_the_database():
    found = ask({"reserve": {"cpu": 1, "memory": "1G"}}, "ada", "gpu")
    assert found.gpus
    assert Grant.from_json(json.loads(json.dumps({**found.to_json(), "of_a_later_version": 1}))) == found


CPUS = st.integers(1, 400).map(lambda hundredths: hundredths / 100 * 4)
MEMORY = st.integers(LEAST_MEMORY // 2**20, 64 * 1024).map(lambda mebibytes: mebibytes * 2**20)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["Tiny", "Normal", "Large"]),
        "cpu": CPUS,
        "memory": MEMORY,
        "image": st.sampled_from(["Python", "Old"]),
        "reserve": st.fixed_dictionaries({}, optional={"cpu": CPUS, "memory": MEMORY}),
    },
)
PEOPLE = st.tuples(st.sampled_from(["ada", "bob"]), st.lists(st.sampled_from(["lab", "other"]), max_size=2))
HELD = st.lists(
    st.builds(lambda cpu, memory: running(reserve=Amounts(cpu, memory)), st.floats(0, 4), st.integers(0, 8 * G)),
    max_size=4,
)
MACHINES = st.builds(lambda cpu, memory: resolve.machine(PHARMA, cpu, memory, ("0", "1")), st.integers(1, 64), MEMORY)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["cpu", "memory", "size", "x"]), inner),
    max_leaves=6,
)


def outcome(options, person, held, machine):
    try:
        return ask(options, person[0], *person[1], running=held, machine=machine)
    except NotGranted as refused:
        return refused


@given(REQUESTS, PEOPLE, HELD, MACHINES)
def test_a_grant_never_exceeds_what_is_allowed(options, person, held, machine):
    found = outcome(options, person, held, machine)
    assume(isinstance(found, Grant))
    may = allowed(person[0], *person[1])
    assert 0 < found.cpu <= may.largest.cpu
    assert 0 < found.memory <= may.largest.memory
    if "size" in options:
        assert found.cpu <= may.sizes[options["size"]].cpu
        assert found.memory <= may.sizes[options["size"]].memory
    assert found.cpu == options.get("cpu", found.cpu)
    assert found.memory == options.get("memory", found.memory)
    assert found.reserve.cpu <= min(may.reserve.cpu, found.cpu, options.get("reserve", {}).get("cpu", 0))
    assert found.reserve.memory <= min(may.reserve.memory, found.memory, options.get("reserve", {}).get("memory", 0))
    if found.reserve:
        whole = resolve.reserved(held) + found.reserve
        assert not found.reserve.cpu or whole.cpu <= machine.room.cpu + 1e-6
        assert not found.reserve.memory or whole.memory <= machine.room.memory
    assert found.image in may.images


@given(REQUESTS, st.integers(1, 100), PEOPLE, HELD, MACHINES)
def test_who_asks_for_more_gets_no_less(more, percent, person, held, machine):
    def part(amounts):
        smaller = {"cpu": lambda cpu: max(0.01, cpu * percent / 100)}
        smaller["memory"] = lambda memory: max(LEAST_MEMORY, memory * percent // 100)
        return {key: smaller[key](value) if key in smaller else value for key, value in amounts.items()}

    less = part(more)
    if "reserve" in more:
        less["reserve"] = part(more["reserve"])
    small, large = (outcome(options, person, held, machine) for options in (less, more))
    if isinstance(large, Grant):
        assert isinstance(small, Grant), "who may have more may have less"
        assert small.cpu <= large.cpu
        assert small.memory <= large.memory
        assert small.reserve.cpu <= large.reserve.cpu
        assert small.reserve.memory <= large.reserve.memory


@given(REQUESTS, PEOPLE, HELD, MACHINES)
def test_a_form_a_link_and_the_api_give_the_same(options, person, held, machine):
    reserve = options.get("reserve", {})
    form = {key: [str(value)] for key, value in options.items() if key in ("size", "image", "cpu")}
    form |= {"memory": [format_bytes(options["memory"])]} if "memory" in options else {}
    form |= {f"reserve_{key}": [str(value)] for key, value in reserve.items()}
    form |= {"_xsrf": ["abc"], "image_of_mine": [""]}
    by_form = outcome(options_from_form(form), person, held, machine)
    by_api = outcome(json.loads(json.dumps(options)), person, held, machine)
    assert str(by_form) == str(by_api)


@given(JUNK, PEOPLE, HELD, MACHINES)
def test_whatever_is_asked_for_is_granted_or_refused_in_words(options, person, held, machine):
    found = outcome(options, person, held, machine)
    if isinstance(found, NotGranted):
        assert found.status in (400, 403, 409)
        assert 10 < len(str(found)) < 600
    else:
        assert found.cpu <= 10
        assert found.memory <= 40 * G


@given(st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=9), max_size=3), max_size=4))
def test_whatever_a_form_holds_is_granted_or_refused_in_words(form):
    outcome(options_from_form(form), ("bob", []), [], BIG)
