from cyclegan_jax.render.text_table import Table, as_markdown, as_text


def test_columns_are_aligned_under_title_and_note():
    table = Table("Scores", "n = 2", ["direction", "SSIM"], [["t1_to_t2", "0.8"], ["x", "0.75"]])
    assert as_text(table).splitlines() == [
        "Scores: n = 2",
        "direction  SSIM",
        "t1_to_t2    0.8",
        "x          0.75",
    ]


def test_nothing_stands_above_a_table_without_title():
    assert as_text(Table("", "", ["a"], [["1"]])).splitlines() == ["a", "1"]


def test_a_long_note_is_wrapped_to_a_terminal():
    lines = as_text(Table("scores", "a note of words " * 20, ["", "n"], [["a", "1"]])).splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(lines[:-2]) == "scores: " + ("a note of words " * 20).strip()


def test_markdown_has_title_rows_and_note():
    table = Table("scores", "Of 3 heads.", ["", "|error|"], [["a", "1"], ["b", "2"]])
    assert as_markdown(table) == (
        "**scores**\n\n|  | \\|error\\| |\n| --- | --- |\n| a | 1 |\n| b | 2 |\n\nOf 3 heads."
    )
