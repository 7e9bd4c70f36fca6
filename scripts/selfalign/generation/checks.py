"""What makes a generated text useless whatever its step: loops and refusals."""

import re

_COPIES = 4  # of a unit, one after the other, from which a text counts as a loop
_CHARACTERS = 200  # that these copies have together, at least: a list of zeros or four equal table rows are no loop
_UNIT = 40  # words of the longest unit

_REFUSAL = re.compile(
    r"""\s*(?:\[\w+\]\s*)?
    (?: (?:i['’]?m|i\ am)\ (?:very\ |so\ )?(?:sorry|afraid|unable|not\ able)\b
      | sorry,
      | i\ (?:cannot|can\ not|can['’]t|will\ not|won['’]t)\b
      | as\ an\ ai\b )""",
    re.IGNORECASE | re.VERBOSE,
)


def find_loop(text: str) -> str | None:
    """The unit of words that `text` repeats at least 4 times in a row over at least 200 characters, if there is one.

    Models that loop go on to the token limit, where length_stop counts them; this finds those that still end by themselves.
    """
    words = text.split()
    for size in range(1, min(_UNIT, len(words) // _COPIES) + 1):
        run = 0
        for at in range(size, len(words)):
            run = run + 1 if words[at] == words[at - size] else 0
            if run >= size * (_COPIES - 1):
                loop = words[at - run - size + 1 : at + 1]
                if sum(map(len, loop)) + len(loop) - 1 >= _CHARACTERS:
                    return " ".join(loop[:size])
    return None


def is_refusal(text: str) -> bool:
    """Whether `text` begins (after one heading) by declining the task: "I'm sorry", "I cannot", "As an AI", ..."""
    return _REFUSAL.match(text) is not None
