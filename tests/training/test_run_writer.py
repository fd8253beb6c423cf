"""Who writes a run, and who does not: what an onlooker does not write is all that there is."""

from compacter_cli.training.run_writer import Onlooker, RunWriter

HARMLESS = {"release", "start_clock"}  # they touch no directory where nothing is held


def test_an_onlooker_leaves_out_all_that_a_writer_writes():
    public = {name for name in vars(RunWriter) if not name.startswith("_")}
    assert public - vars(Onlooker).keys() == HARMLESS
