"""Lists of classes in the forms that people have; what is in none of them is refused by its line."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import pytest

from danet_common.config.classes import Colour
from danet_common.data import DataError
from danet_common.data.class_list import read_class_list

SKY, ROAD = (1, 2, 3), (128, 64, 128)
Expected = tuple[tuple[Colour | None, ...], tuple[int, ...]]
PLAIN: Expected = ((None, None), (0, 1))
COLOURED: Expected = ((SKY, ROAD), (0, 1))

FORMS: dict[str, Expected] = {
    "sky\nopen road\n": PLAIN,
    "\ufeffsky\r\n\r\nopen road\r\n": PLAIN,
    "# classes\nsky # above\n// below\nopen road": PLAIN,
    '"sky"\n"open road"\n': PLAIN,
    "sky, open road": PLAIN,
    "0 sky\n1 open road\n": PLAIN,
    "1 open road\n0 sky\n": PLAIN,
    "0: sky\n1: open road\n": PLAIN,
    "0. sky\n1. open road\n": PLAIN,
    "0,sky\n1,open road\n": PLAIN,
    "sky 0\nopen road 1\n": PLAIN,
    "sky = 0\nopen road = 1\n": PLAIN,
    "3 sky\n255 open road\n": ((None, None), (3, 255)),
    "id,name\n0,sky\n1,open road\n": PLAIN,
    "name,label\nsky,0\nopen road,1\n": PLAIN,
    '["sky", "open road"]': PLAIN,
    '{"0": "sky", "1": "open road"}': PLAIN,
    '{"sky": 0, "open road": 1}': PLAIN,
    '{"classes": ["sky", "open road"]}': PLAIN,
    "names: [sky, open road]\n": PLAIN,
    "nc: 2\nnames:\n  - sky\n  - open road\n": PLAIN,
    "path: here\nnames:\n  0: sky\n  1: open road\nnc: 2\n": PLAIN,
    "- sky\n- open road\n": PLAIN,
    "sky 1 2 3\nopen road 128 64 128\n": COLOURED,
    "1 2 3 sky\n128 64 128 open road\n": COLOURED,
    "sky: 1 2 3\nopen road: 128 64 128\n": COLOURED,
    "sky (1, 2, 3)\nopen road (128, 64, 128)\n": COLOURED,
    "sky 1,2,3\nopen road 128,64,128\n": COLOURED,
    "sky #010203\nopen road #804080\n": COLOURED,
    "#010203 sky\n#804080 open road\n": COLOURED,
    "0 sky 1 2 3\n1 open road 128 64 128\n": COLOURED,
    "sky,1,2,3\nopen road,128,64,128\n": COLOURED,
    "name,r,g,b\nsky,1,2,3\nopen road,128,64,128\n": COLOURED,
    "name, r, g, b\nsky, 1, 2, 3\nopen road, 128, 64, 128\n": COLOURED,
    "Name;R;G;B\nsky;1;2;3\nopen road;128;64;128\n": COLOURED,
    "name\tred\tgreen\tblue\nsky\t1\t2\t3\nopen road\t128\t64\t128\n": COLOURED,
    "0\tsky\t1\t2\t3\n1\topen road\t128\t64\t128\n": COLOURED,
    "id,name,r,g,b\n1,open road,128,64,128\n0,sky,1,2,3\n": COLOURED,
    "name r g b\nsky 1 2 3\nopen road 128 64 128\n": COLOURED,
    'name,rgb\nsky,"1,2,3"\nopen road,"128,64,128"\n': COLOURED,
    "# label:color_rgb:parts:actions\nsky:1,2,3::\nopen road:128,64,128::\n": COLOURED,
    '{"sky": [1, 2, 3], "open road": [128, 64, 128]}': COLOURED,
    '[{"name": "sky", "color": [1, 2, 3]}, {"name": "open road", "color": [128, 64, 128]}]': COLOURED,
}
REFUSED = {
    "name\nsky\nroad\n": "line 1: 'name' is a header or a class",
    "sky 0\nroad\n": "line 2: 'road' is of another form than the first line",
    "['sky', 'road']": "line 1: begins like JSON and is none",
    '{"a": {"b": 1}}': 'write ["sky", "road"]',
    "sky,blue\nroad,grey\n": "line 1: 'sky,blue': one column must be a name",
    "sky,1,2,3\nroad,4,5\n": "line 2: 'road,4,5': which of 2 numbers is the class? Write one class a line",
    "name,r,g,b\nsky,1,2\n": "line 2: has 3 columns, the header 4",
    "__ignore__\n_background_\ncar\n": "line 1: __ignore__ is no class",
    "1 2 3 0 sky\n": "line 1: '1 2 3 0 sky': which of 4 numbers is the class? Write one class a line",
    "sky 1 2\n": "line 1: 'sky 1 2': which of 2 numbers is the class?",
    "sky 1 2 300\n": "line 1: a colour is three numbers from 0 to 255; got 1 2 300",
    "0 sky\n0 road\n": "line 1: the number 0 is there twice",
    "70000 sky\n": "line 1: 70000 is no value of a label file",
    "sky {\n": "line 1: 'sky {' looks like part of another form",
    "a" * 201: "line 1: a class's name must have 1 to 200 letters",
    "sky\x1b[2J\n": "line 1: a class's name must have 1 to 200 letters",
}


@pytest.mark.parametrize("text", FORMS)
def test_a_form_that_people_have(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(text.encode())
    actual = read_class_list(tmp_path / "classes.txt")
    assert actual.classes.names == ("sky", "open road")
    assert (actual.colours, actual.values) == FORMS[text]


@pytest.mark.parametrize("text", REFUSED)
def test_a_form_that_is_none_is_refused_by_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(text.encode())
    with pytest.raises(DataError) as error:
        read_class_list(path)
    assert str(error.value).startswith(f"{path}: ")
    assert REFUSED[text] in str(error.value)
    assert "\n" not in str(error.value)


def test_the_forms_on_the_page_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/data.md").read_text()
    table = page.partition("| form | example |")[2].partition("\n\n")[0]
    examples = re.findall(r"`([^`]+)`", table)
    assert len(examples) > 15
    for example in examples:
        if example == "name,r,g,b":
            example = "name,r,g,b\nsky,128,128,128"
        (tmp_path / "classes.txt").write_text(example)
        actual = read_class_list(tmp_path / "classes.txt")
        assert actual.classes.names in (("sky",), ("sky", "road")), example
        assert actual.colours[0] in (None, (128, 128, 128))


def test_numbers_that_belong_to_names_stay_in_them(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("lane 1\nlane 2\n")
    assert read_class_list(tmp_path / "classes.txt").classes.names == ("lane 1", "lane 2")


@pytest.mark.parametrize("text", ["red\ngreen\nblue\n", "red, green, blue", "b\ng\nr", "index\nvalue\n"])
def test_a_name_may_be_that_of_a_column(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text(text)
    assert read_class_list(tmp_path / "classes.txt").classes.names == tuple(re.findall(r"\w+", text))


def test_utf_16_as_windows_writes_it(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(codecs.BOM_UTF16_LE + "café\r\nroad\r\n".encode("utf-16-le"))
    assert read_class_list(tmp_path / "classes.txt").classes.names == ("café", "road")
