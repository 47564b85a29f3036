"""Alerts: rules over figures and events, and when each fires and resolves. Pure; nothing here sends or acts."""
