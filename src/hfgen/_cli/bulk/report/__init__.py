"""What a bulk run was like, as one page of HTML; its modules are imported where it is asked for."""
