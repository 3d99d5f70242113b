// Posts the token of a log-in link, "/login#token=…", and takes it out of the address.
function login() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname + location.search);
  document.getElementById("token").value = token;
  document.getElementById("login").submit();
}
addEventListener("hashchange", login);
login();
