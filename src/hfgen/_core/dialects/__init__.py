"""How each family of servers is asked, and how it answers."""
