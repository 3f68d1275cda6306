def test_runs(al, tiny_run):
    done = al("run", *tiny_run)
    assert done.code == 0, done.err
    assert "cycle 3/3" in done.out


def test_runs_tagging(al, tiny_tagging_run):
    done = al("run", *tiny_tagging_run)
    assert done.code == 0, done.err
    assert "cycle 3/3" in done.out
