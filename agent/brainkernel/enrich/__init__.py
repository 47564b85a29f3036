"""Suspect to Suspect with evidence: package, unit, lineage, session, script. Reads the system, in budget."""
