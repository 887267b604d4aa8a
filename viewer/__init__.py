"""The viewer: Streamlit pages over items folders and outputs files; computes nothing of its own."""
