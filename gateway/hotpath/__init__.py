"""What only the path of every request needs: shorter ways to the same result, each with what it gained."""
