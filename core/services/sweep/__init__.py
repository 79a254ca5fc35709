"""Many settings over many candles, and an honest word on the best of them.

``grid`` reads what is asked for, ``plan`` cuts it into windows and chunks and gives it a name, ``evaluate`` works a
chunk off, ``pools`` and ``cluster`` do that in many processes, ``parts`` keeps what is done, ``run`` ties these
together and ``verdict`` says what came of it.
"""
