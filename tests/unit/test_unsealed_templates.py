"""Templates whose expressions do not take every name: the name is at fault, not the node."""

from __future__ import annotations

import pytest

from node.ambient import inline
from node.errors import BadTemplate, StorageError
from node.storage.filecoin_unsealed import FilecoinUnsealed


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("cid.index('b')", "apples"),
        ("cid.split('f')[1]", "apples"),
        ("cid.encode('ascii')", "ü"),
        ("1 // (cid | length - 4)", "four"),
    ],
)
def test_a_name_that_an_expression_cannot_take_is_data_that_is_not_here(expression, name):
    storage = FilecoinUnsealed(f"/data/{{{{ {expression} }}}}/{{{{ cid }}}}", inline)
    with pytest.raises(StorageError, match="cannot be made"):
        storage.path_of(name)


def test_a_template_that_takes_no_name_at_all_is_refused_at_the_start():
    with pytest.raises(BadTemplate):
        FilecoinUnsealed("/data/{{ cid + 1 }}", inline)
