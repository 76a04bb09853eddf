<?php
// A login page that signs agents in at Chatelaine by a JWT.
// CONNECTION (https://id.example/federation/portal), ISSUER, KID, SECRET.

// $people stands for your own accounts.
$people = ['raj' => ['password' => 'rajs-password', 'email' => 'raj@acme.example', 'name' => 'Raj Patel']];

function part($v) { return rtrim(strtr(base64_encode(is_string($v) ? $v : json_encode($v)), '+/', '-_'), '='); }

function token($id, $who) {
    $claims = ['aud' => getenv('CONNECTION'), 'iss' => getenv('ISSUER'), 'iat' => time(), 'jti' => bin2hex(random_bytes(16)),
        'sub' => $id, 'email' => $who['email'], 'name' => $who['name']];
    $signed = part(['alg' => 'HS256', 'typ' => 'JWT', 'kid' => getenv('KID')]) . '.' . part($claims);
    return $signed . '.' . part(hash_hmac('sha256', $signed, getenv('SECRET'), true));
}

$to = $_GET['return_to'] ?? '';
$logout = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) === '/logout';
if ($logout && is_string($to) && str_starts_with($to, getenv('CONNECTION') . '/logout?')) { // here the session of your own page ends
    header('Location: ' . $to, true, 303);
    exit;
}
if ($logout || !is_string($to) || !str_starts_with($to, getenv('CONNECTION') . '/jwt?')) { // or whoever writes the link gets the token
    http_response_code(400);
    exit("return_to is not the connection's");
}
$id = is_string($_POST['user'] ?? null) ? $_POST['user'] : '';
$typed = is_string($_POST['password'] ?? null) ? $_POST['password'] : '';
if (!isset($people[$id]) || !hash_equals($people[$id]['password'], $typed)) {
    exit('<!doctype html><title>Log in</title>
<form method="post"><input name="user" autocomplete="username"><input name="password" type="password"><button>Log in</button></form>');
}
?>
<!doctype html><title>One moment</title>
<form method="post" action="<?= htmlspecialchars($to) ?>"><input type="hidden" name="jwt" value="<?= token($id, $people[$id]) ?>"><button id="continue">Continue</button></form>
<script>document.forms[0].submit()</script>
