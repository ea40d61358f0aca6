"""For the person: the numbers of a group, a process, a cgroup or the host, and what they mean.

    observer  ->  rows  ->  findings  ->  text

`observer` reads, `rows` is what it read, `rules` and `findings` judge it, `text` and `as_json` show it.
"""
