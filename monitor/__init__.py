"""A packet-level replay monitor for SIP: the security toolbox in front of the callee.

The package is a sans-IO core (``wire``, ``sip``, ``cms``, ``antireplay``, ``toolbox``, joined by
``pipeline``) with thin shells around it (``capture``, ``store``, ``enforce``, ``observe``, ``service``,
``cli``). ``docs/architecture.md`` is the map.
"""
