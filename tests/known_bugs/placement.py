"""Bugs of other placement libraries, and the tests that show ours free of them; see table.py.

The drivers of this table are the algorithms.
"""

from __future__ import annotations

from tests.known_bugs.placements import EQUAL, MAKERS
from tests.known_bugs.table import EVERY, Because, Bug, Shown, by

_HERE = "known_bugs/test_placement_bugs"
_FOLLOWED = ("libmemcached_ketama", "uhashring_ketama")
_AS_THE_LIBRARY = Because(
    "it follows its library key by key, and that has the bug; its documentation says so"
)
_ENTRIES_CHANGE = Because("Maglev fills its table anew; its documentation says that some keys move")


def _equal(shown: Shown) -> dict[str, Shown]:
    return dict.fromkeys(EQUAL, shown)


PLACEMENT_BUGS = (
    Bug(
        "points that fall together make placement depend on the order of insertion, or a removal "
        "crash",
        "rings with 32-bit points, uhashring among them",
        {
            EVERY: by(_HERE, "test_the_order_in_which_nodes_are_given_says_nothing[*]"),
            "ring": by(
                "unit/test_placement_ring",
                "TestTiedPoints::test_order_of_insertion_does_not_matter",
                "TestTiedPoints::test_removing_one_leaves_the_other",
                "test_the_name_and_the_number_of_a_point_cannot_run_together",
            ),
            "libmemcached_ketama": by(
                "unit/test_compat_libmemcached",
                "test_a_tie_is_won_by_the_server_that_was_added_first",
            ),
            "uhashring_ketama": by(
                "unit/test_compat_uhashring", "test_a_tie_is_won_by_the_later_node"
            ),
            "pymemcache_rendezvous": by(
                "unit/test_compat_pymemcache", "test_the_greater_name_wins_a_tie"
            ),
        },
    ),
    Bug(
        "placement, or the order of replicas, changes with PYTHONHASHSEED",
        "tooz, and whatever calls hash() or walks a set",
        {EVERY: by(_HERE, "test_another_process_places_alike_whatever_its_hash_seed[*]")},
    ),
    Bug(
        "a node is placed by its repr or its address, so that a restart moves its keys",
        "rings that hash objects; addresses of pods as names",
        {EVERY: by(_HERE, "test_an_address_is_no_name[*]")},
    ),
    Bug(
        "text and its bytes are different keys, and anything is a key by its repr",
        "uhashring: both agree on 35 % of the keys",
        {
            EVERY: by(_HERE, "test_what_is_no_key_is_refused[*]"),
            **dict.fromkeys(
                (name for name in MAKERS if name != "int_jump"),
                by(_HERE, "test_text_its_bytes_and_a_number_are_one_key[*]"),
            ),
        },
    ),
    Bug(
        "a node with a small weight has no point and vanishes",
        "uhashring's ketama with the weights 1024, 1024 and 5",
        {
            **dict.fromkeys(
                ("ring", "maglev", "rendezvous", "slots"),
                by(_HERE, "test_a_node_with_a_thousandth_of_the_weight_gets_keys[*]"),
            ),
            "uhashring_md5": by(
                _HERE, "test_a_node_with_a_thousandth_of_the_weight_gets_keys_by_uhashring"
            ),
            **dict.fromkeys(_FOLLOWED, _AS_THE_LIBRARY),
            **_equal(by(_HERE, "test_weights_that_would_count_for_nothing_are_refused[*]")),
        },
    ),
    Bug(
        "a node that left still gets keys, or comes back lighter with the points of before",
        "tooz 9.1: 792 keys of 1000 went to a node that was removed",
        {
            EVERY: by(_HERE, "test_a_node_that_left_gets_no_key[*]"),
            **dict.fromkeys(
                ("ring", "maglev", "rendezvous", "slots", "uhashring_md5", *_FOLLOWED),
                by(_HERE, "test_a_node_that_came_back_lighter_has_nothing_left_of_before[*]"),
            ),
        },
    ),
    Bug(
        "a node that joins or leaves moves keys between the others",
        "ketama with weights: 5 % when a third node joins two of 3 and 1; jump, where a node in "
        "the middle leaves: two thirds",
        {
            EVERY: by(
                _HERE,
                "test_a_node_that_joins_moves_no_key_between_the_others[*]",
                "test_a_node_that_leaves_moves_its_own_keys_alone[*]",
            ),
            **dict.fromkeys(
                ("jump", "int_jump"),
                by(_HERE, "test_a_node_in_the_middle_cannot_leave_and_renumber_the_rest[*]"),
            ),
            **dict.fromkeys(_FOLLOWED, _AS_THE_LIBRARY),
            "maglev": _ENTRIES_CHANGE,
        },
    ),
    Bug(
        "servers at port 11211 are placed otherwise than by libmemcached, which leaves the "
        "default port out of the names of points",
        "ports of ketama to other languages",
        {
            EVERY: by(
                "unit/test_compat_libmemcached",
                "test_points_are_named_without_the_default_port",
                "test_owners_are_those_of_the_library",
            )
        },
    ),
    Bug(
        "bounded loads panic, or loop, when all capacities together are just short",
        "ports of consistent hashing with bounded loads",
        {
            EVERY: by(
                _HERE,
                "test_capacities_that_are_just_short_are_said_and_just_enough_is_used_up[*]",
            )
        },
    ),
    Bug(
        "logarithms in floating point place keys differently on other platforms",
        "weighted rendezvous hashing in most libraries",
        {
            **dict.fromkeys(
                MAKERS, Because("it compares whole numbers, and takes no logarithm of anything")
            ),
            **dict.fromkeys(
                ("jump", "int_jump", "memento"),
                by("unit/test_compat_jump", "test_buckets_are_those_of_the_package"),
            ),
            "libmemcached_ketama": by(
                "unit/test_compat_libmemcached", "test_digests_are_counted_in_single_precision"
            ),
            "rendezvous": by(_HERE, "test_the_logarithms_of_scores_are_whole_numbers"),
        },
    ),
    Bug(
        "a ring cannot be pickled, and nothing tells whether two processes agree",
        "uhashring, whose hash is a lambda",
        {EVERY: by(_HERE, "test_a_placement_is_pickled_copied_and_written_down[*]")},
    ),
    Bug(
        "nobody says which keys must move",
        "all of them; it is what their users ask most",
        {EVERY: by(_HERE, "test_which_keys_must_move_is_answered[*]")},
    ),
)
