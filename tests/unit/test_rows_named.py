"""What deployments need, row by row, and the tests that show it; the examples of their names have it in them.

The rows of pharma-docker are in integration/docker/test_rows.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from hubwright.config.load import load

TESTS = Path(__file__).parents[1]
EXAMPLES = TESTS.parent / "examples"
ROWS = {
    "linux-lab": {
        "a hub of its own on the LAN, JupyterLab and ipywidgets, a unit that is there after a boot": [
            "browser/test_examples.py::linux_lab",
            "browser/test_notebooks.py::test_a_widget_is_shown_and_the_kernel_hears_of_it",
            "machine/test_installed_service.py::test_after_a_boot_it_is_there_by_itself",
        ],
        "any Unix account logs in with its password, and lands in JupyterLab": [
            "browser/test_examples.py::linux_lab",
            "integration/auth/test_pam_service.py::test_an_account_is_shut_by_a_lock_or_its_last_day",
        ],
        "shared kernels, a default and a large one, more Pythons; listed and removed": [
            "browser/at_work.py::linux_lab_kernels",
            "browser/test_launcher.py::test_two_people_see_their_kernels_and_each_runs_a_cell",
            "integration/envs/test_uv.py::test_two_people_see_what_is_theirs_and_run_it",
            "integration/envs/test_uv.py::test_packages_and_environments_come_and_go_by_a_command",
        ],
        "one's own venv and conda environments, and their kernels for oneself alone": [
            "browser/at_work.py::linux_lab_kernels",
            "browser/test_launcher.py::test_two_people_see_their_kernels_and_each_runs_a_cell",
            "unit/envs/test_kernels.py::test_environments_in_the_home_are_found_and_named_by_their_folder",
            "integration/docker/test_conda_home.py",
        ],
        "never the hub's own Python as a kernel; plain HTTP is warned of": [
            "browser/at_work.py::linux_lab_kernels",
            "unit/envs/test_kernels.py::test_hub_yaml_decides_what_python3_is",
            "unit/proxy/test_https_kinds.py::test_plain_http_is_for_this_machine_unless_it_is_said",
            "integration/test_https.py::test_a_self_made_certificate_is_trusted_and_stays",
        ],
        "limits, an end for idle servers, GPUs": [
            "integration/local/test_limits.py",
            "unit/hub/test_culler.py::test_it_stops_idle_servers_of_every_page_through_the_socket",
            "integration/local/test_gpus_hidden.py::test_a_server_opens_its_own_gpu_and_no_other",
        ],
    },
    "julia-class": {
        "one file, refused with the name of what is wrong; unattended": [
            "golden/test_golden.py::test_a_file_compiles_to_what_stands_beside_it",
            "unit/cli/test_init_check.py::test_check_tells_every_mistake_with_its_line",
            "machine/test_installed_service.py::test_from_nothing_to_a_logged_in_user",
        ],
        "HTTPS by Let's Encrypt, self-made or existing; what would fail is said before": [
            "browser/test_examples.py::julia_class",
            "integration/test_acme.py::test_what_the_authority_would_refuse_is_said_before",
            "integration/test_https.py::test_a_kernel_goes_on_while_the_certificate_is_renewed",
        ],
        "idle kernels end after an hour; memory and a processor for each": [
            "integration/local/test_idle_kernels.py::test_an_idle_kernel_is_stopped_and_a_computing_one_is_not",
            "integration/local/test_limits.py::test_the_processor_is_capped_within_a_tenth",
            "integration/local/test_limits.py::test_a_hog_in_a_kernel_loses_its_kernel_only",
        ],
        "the first login sets the password, people change theirs, the admin resets anybody's": [
            "browser/test_examples.py::julia_class",
            "browser/test_claiming.py::test_the_first_people",
            "integration/auth/test_first_use.py::test_changing_ones_password_needs_the_present_one_and_ends_other_sessions",
            "integration/auth/test_user_command.py::test_people_come_and_go_by_the_command",
        ],
        "Python and Julia for everybody, precompiled once; Pkg.add of one's own on top": [
            "browser/at_work.py::julia_class_kernel",
            "integration/envs/test_julia.py::test_two_people_load_what_is_shared_and_nothing_is_compiled_again",
            "integration/envs/test_julia.py::test_what_one_adds_comes_on_top_and_is_ones_own",
            "integration/envs/test_julia_kernels.py::test_the_project_beside_a_notebook_is_the_active_one_and_stays_as_it_is",
        ],
        "an image of packages, a later package by one command, nothing overwritten": [
            "integration/envs/test_julia.py::test_an_image_makes_julia_start_faster_with_its_packages",
            "integration/envs/test_julia.py::test_one_command_adds_a_later_package_or_says_why_not",
            "integration/envs/test_julia.py::test_nobody_can_change_what_is_shared",
        ],
        "accounts and homes at once, from the page or a list; changes reach people, and overwrite nothing": [
            "browser/test_examples.py::julia_class",
            "integration/auth/test_first_use.py::test_the_people_an_admin_adds_get_an_account_and_no_rights_of_an_admin",
            "integration/people/test_apply.py::test_a_roster_comes_and_goes",
            "integration/people/test_class_from_nothing.py::test_a_class_from_nothing",
            "integration/content/test_fifty_homes.py",
        ],
        "notebooks are handed out, originals come again; shared folders, a server together, sharing one's own": [
            "browser/at_work.py::handed_out",
            "browser/at_work.py::julia_class_together",
            "browser/at_work.py::julia_class_lessons",
            "integration/content/test_fifty_homes.py::test_a_killed_push_and_two_at_once_lead_every_home_to_where_it_should_be",
            "integration/content/test_originals.py::test_a_repository_is_fetched_with_its_secret_and_only_when_it_has_changed",
            "browser/test_content_page.py::test_a_student_opens_a_link_and_gets_originals_again",
            "integration/people/test_shared_folders.py",
            "machine/test_administration.py::test_a_shared_folder_takes_no_more_than_its_quota",
            "browser/test_together.py::test_two_people_see_each_other_write",
            "integration/people/test_collaboration.py::test_who_leaves_the_group_is_out_at_once",
            "browser/test_let_in.py::test_two_people_in_browsers",
        ],
        "a firewall that cannot lock out; an archive of all homes before a risky step": [
            "integration/test_firewall_rules.py",
            "machine/test_administration.py::test_nftables_is_set_over_ssh_and_cuts_nobody_off",
            "machine/test_administration.py::test_ufw_is_set_over_ssh_and_cuts_nobody_off",
            "integration/people/test_homes.py::test_all_homes_are_one_archive_of_which_each_comes_back",
        ],
    },
    "stem-camp-swarm": {
        "new people receive the course; updates reach all; originals stay available": [
            "browser/test_examples.py::stem_camp_swarm",
            "browser/at_work.py::handed_out",
            "integration/content/test_fifty_homes.py::test_a_killed_push_and_two_at_once_lead_every_home_to_where_it_should_be",
            "integration/content/test_originals.py::test_a_repository_is_fetched_with_its_secret_and_only_when_it_has_changed",
            "browser/test_content_page.py::test_a_student_opens_a_link_and_gets_originals_again",
        ],
    },
}
"""By example: what a row asks for, and which tests, or which part of one, show it."""
SHOWN = [(example, row, name) for example, rows in ROWS.items() for row, names in rows.items() for name in names]


@pytest.mark.parametrize(("example", "row", "name"), SHOWN, ids=[name for _, _, name in SHOWN])
def test_what_shows_a_row_is_there(example: str, row: str, name: str) -> None:
    file, _, test = name.partition("::")
    text = (TESTS / file).read_text()
    assert f"def {test}(" in text if test else "def test_" in text, f"{example}: {row}"


def test_the_examples_have_what_their_rows_ask_for() -> None:
    lab, julia, camp = (load(EXAMPLES / f"{name}.yaml").hub for name in ROWS)
    assert (lab.auth.kind, lab.https.kind, lab.hub.landing) == ("pam", "self_made", "lab")
    assert {"default", "large"} <= lab.environments.keys() and lab.engine.memory and lab.idle.stop_after
    assert (julia.auth.kind, julia.https.kind, julia.engine.memory) == ("first_use", "acme", 2 * 2**30)
    assert julia.idle.kernels_after == 3600
    assert {one.kind for one in julia.environments.values()} == {"uv", "julia"}
    assert julia.environments["julia"].sysimage
    assert julia.content and julia.sharing and julia.classes and julia.people.users and julia.people.shared
    assert camp.content and camp.people.watch
