def test_runs(al, tiny_run):
    done = al("run", *tiny_run)
    assert done.code == 0, done.err
    assert "cycle 3/3" in done.out


def test_runs_tagging(al, tiny_tagging_run):
    done = al("run", *tiny_tagging_run)
    assert done.code == 0, done.err
    assert "cycle 3/3" in done.out


def test_a_run_prints_its_optimizations(al, quick_run):
    """On a CPU in bfloat16; the key reaches the learner."""
    lines = {engine: al("run", *quick_run, "device=cpu", "precision=bfloat16", f"engine={engine}").out
             for engine in ("fast", "plain")}  # fmt: skip
    assert "tiny: eager attention in training" in lines["fast"]
    assert "tiny: computes as transformers does" in lines["plain"]
