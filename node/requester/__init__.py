"""The requester role: offers jobs, chooses nodes, counts their proposals, fetches what won."""
