"""Classes in the hub: who is in them, what starts and stops by their timetables, what their teachers see and do."""
