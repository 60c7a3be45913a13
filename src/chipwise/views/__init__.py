"""Everything that a person reads: units, terminal tables, charts, the HTML report, JSON.

`units`, `tables`, `terminal` and `as_json` are light; `charts` and `report` load matplotlib and Jinja2.
"""
