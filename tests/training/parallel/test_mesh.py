"""How meshes are read, and what is refused before any process is started."""

from __future__ import annotations

import string
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chipwise.core.errors import ChipwiseError, InputError, MachineError, UnknownNameError
from chipwise.training.parallel.mesh import DIMENSIONS, Mesh, check_processes, parse_mesh, smaller

sizes = st.dictionaries(st.sampled_from(["pp", "dp", "fsdp", "tp"]), st.integers(1, 64), min_size=1)


@given(sizes, st.randoms())
def test_any_order_is_one_mesh(given_sizes: dict[str, int], random: object) -> None:
    names = list(given_sizes)
    random.shuffle(names)
    mesh = parse_mesh(",".join(f"{name}{given_sizes[name]}" for name in names))
    assert dict(mesh.sizes) == given_sizes
    assert [name for name, _ in mesh.sizes] == [name for name in DIMENSIONS if name in given_sizes]
    assert mesh.processes == prod(given_sizes.values())
    assert parse_mesh(str(mesh)) == mesh


@given(st.text(alphabet=string.ascii_lowercase + string.digits + ",=- ²", max_size=20))
def test_any_text_is_a_mesh_or_a_clear_error(text: str) -> None:
    try:
        found = parse_mesh(text).processes >= 1
    except ChipwiseError as error:
        found = bool(error.message and error.hint)
    assert found


@given(sizes)
def test_smaller_keeps_two_processes_and_divides_the_batch(given_sizes: dict[str, int]) -> None:
    mesh = parse_mesh(",".join(f"{name}{size}" for name, size in given_sizes.items()))
    less = smaller(mesh)
    assert less == mesh or 2 <= less.processes < mesh.processes
    assert mesh.shares % less.shares == 0
    assert (less == mesh) is (mesh.processes < 4 or any(size == mesh.processes for _, size in less.sizes))


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("dp0", InputError, "0 processes"),
        ("dp2,dp2", InputError, "twice"),
        ("dp", InputError, "how many"),
        ("2", InputError, "no dimension"),
        ("", InputError, "no dimension"),
        ("fdsp2", UnknownNameError, "'fdsp'"),
        ("fsdp2,zero22", InputError, "cut the same things"),
        ("zero12,tp2", InputError, "cannot be combined with tp"),
        ("dp9999999", InputError, "9999999"),
    ],
)
def test_what_is_no_mesh(text: str, kind: type[ChipwiseError], said: str) -> None:
    with pytest.raises(kind, match=said):
        parse_mesh(text)


def test_a_misspelt_dimension_is_guessed() -> None:
    with pytest.raises(UnknownNameError) as caught:
        parse_mesh("fdsp2")
    assert "did you mean fsdp" in caught.value.hint


def test_names_with_digits() -> None:
    assert parse_mesh("zero12") == Mesh((("zero1", 2),))
    assert parse_mesh("zero3=4") == Mesh((("fsdp", 4),))
    assert parse_mesh("1") == Mesh()


def test_processes_are_limited_by_cores() -> None:
    check_processes(parse_mesh("dp8"), 2)
    with pytest.raises(MachineError, match="16 processes"):
        check_processes(parse_mesh("dp16"), 2)
    check_processes(parse_mesh("dp16"), 4)
