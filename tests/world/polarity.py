"""An independent ear for opinions: which clause counts, and how often it is turned round."""

import re

GOOD = """
good wonderful lovely delightful brilliant charming superb pleasant graceful thrilling great
excellent fine splendid beautiful amusing fascinating marvellous elegant fresh gentle perfect
lively impressive magnificent touching memorable refreshing glorious warm
enjoy enjoyed love loved admire admired praise praised
"""
BAD = """
bad awful terrible boring dreadful ugly dull clumsy tedious horrible poor nasty weak dirty
stupid annoying disappointing unpleasant dismal bland shabby miserable painful messy gloomy
hopeless rotten lifeless pointless vulgar
hate hated regret regretted resent resented mock mocked
"""
TURNS = {"not", "never", "nobody", "anything_but", "far_from"}


def sounds_positive(opinion):
    """The polarity of the clause that counts; every negator turns it round."""
    text = opinion.lower().replace("anything but", "anything_but").replace("far from", "far_from")
    words = re.findall(r"[a-z_]+", _main_clause(text))
    good, bad = GOOD.split(), BAD.split()
    polar = [word for word in words if word in good or word in bad]
    assert len(polar) == 1, opinion
    turns = sum(word in TURNS for word in words)
    return (polar[0] in good) == (turns % 2 == 0)


def _main_clause(text):
    if text.startswith("although"):
        return text.partition(", ")[2]
    if " rather than " in text:
        return text.partition(" rather than ")[0]
    return re.split(r"\b(?:but|yet)\b", text)[-1]
