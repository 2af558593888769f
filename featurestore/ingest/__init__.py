"""Write verbs: rows of producers and clients, checked, routed to the views that own them, and written."""
