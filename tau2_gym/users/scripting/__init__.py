"""The parts of the scripted user.

What the agent says becomes clauses (`phrasing`, `clauses`), these become errands (`features`,
`conditions`, `toolbox`, `instructions`, `errands`) and calls of the user's tools (`performing`,
`phone`). What it asks is answered from the scenario (`memory`, `words`, `recall`). `cues` tells
questions from farewells, `dialogue` and `progress` keep track, `voice` and `speech` find the words.
"""
