"""Background maintenance: whatever was committed but not announced, and whatever was lost."""
