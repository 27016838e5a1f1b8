"""Pages: text stays text, what a template lacks is an error, and every file a page is made of counts as its code."""

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from fracture.core.code import PACKAGE, closure
from fracture.core.page import plural, render

BODY = '{% extends "base.html.j2" %}{% block title %}T{% endblock %}{% block style %}{% endblock %}{% block main %}'


def page(folder, main, **content):
    (folder / "one.html.j2").write_text(BODY + main + "{% endblock %}")
    return render(folder, ("one.html.j2",), **content)


def test_a_page_is_whole_and_text_is_escaped(tmp_path):
    html = page(tmp_path, '<p title="{{ said }}">{{ said }}</p>', said='<b>"&')
    assert '<p title="&lt;b&gt;&#34;&amp;">&lt;b&gt;&#34;&amp;</p>' in html
    assert html.startswith("<!doctype html>\n")
    assert html.endswith("</main></body></html>\n")
    assert "prefers-color-scheme" in html


def test_what_nobody_gave_is_an_error_and_not_a_gap(tmp_path):
    with pytest.raises(UndefinedError, match="said"):
        page(tmp_path, "{{ said }}")
    with pytest.raises(UndefinedError, match="left"):
        page(tmp_path, "{{ said.left }}", said={})


def test_a_file_that_is_not_named_is_not_used(tmp_path):
    (tmp_path / "two.html.j2").write_text("two")
    with pytest.raises(TemplateNotFound, match=r"two\.html\.j2"):
        page(tmp_path, '{% include "two.html.j2" %}')


@pytest.mark.parametrize(
    ("module", "folder"), [("fracture.evaluation.run", "evaluation/report"), ("fracture.data.audit.run", "data/audit")]
)
def test_every_file_of_a_page_is_part_of_the_code_of_its_result(module, folder):
    files = {file for kind in ("*.j2", "*.css") for place in (folder, "core") for file in (PACKAGE / place).glob(kind)}
    assert len(files) > 4
    assert files <= closure(module)[0]


def test_things_are_counted_in_words():
    assert [plural(number, "film") for number in (0, 1, 1234)] == ["0 films", "1 film", "1,234 films"]
