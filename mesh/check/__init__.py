"""`mesh check`: what of an installation is wrong, why, and what to do; reading only, with the rights of whoever calls.

Facts are fetched once (`survey`), checks judge them without I/O (`cluster`, `installation`, `webhook`, `workloads`,
`services`), `catalogue` has all of them with what each needs, and `report` writes the lines.
"""
