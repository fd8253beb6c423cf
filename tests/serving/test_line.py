"""The line by hand: who is first, what makes a batch, who has left."""

import asyncio

from compacter_cli.serving.line import Asked, Line


def in_line(batch, *requests):
    """What a function of a `Line` gives in which `requests`, each its texts, stand."""

    async def made():
        line, loop = Line(batch), asyncio.get_running_loop()
        asked = [Asked("a", texts, loop.create_future(), 0.0) for texts in requests]
        for one in asked:
            line.join(one)
        return line, asked

    return asyncio.run(made())


def texts_of(parts):
    return [list(part) for _, part in parts]


def test_a_batch_is_the_first_of_the_line_and_of_the_next_what_there_is_room_for():
    line, asked = in_line(4, ["1", "2", "3"], ["4", "5"], ["6"])
    assert (line.waiting, line.enough.is_set(), line.first) == (6, True, asked[0])
    assert texts_of(line.take()) == [["1", "2", "3"], ["4"]]
    assert (line.waiting, line.enough.is_set(), line.first) == (2, False, asked[1])
    assert texts_of(line.take()) == [["5"], ["6"]]
    assert not line


def test_who_left_or_was_answered_takes_no_room():
    line, (first, second, third) = in_line(4, ["1", "2"], ["3"], ["4"])
    line.leave(first)
    second.answered.cancel()
    assert line.waiting == 2
    assert line.take() == [(third, ["4"])]
    line.leave(third)  # all its texts are taken
    assert (line.waiting, bool(line)) == (0, False)
