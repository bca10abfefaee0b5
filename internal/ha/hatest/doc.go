// Package hatest is a small Home Assistant: an [http.Handler] that speaks the
// real one's protocol as far as clients of a home use it. The tests of the
// gateway run against it, and it is the home of `gatehouse demo`.
//
// It speaks the login flow, tokens, signed paths, REST, the event stream, the
// WebSocket, registries, companion apps and their webhooks, cameras, backups
// and ingress. It is deliberately as particular as the original: where Home
// Assistant answers a wrong password with 200, so does this. What it says is
// held to what real releases say by the recordings in testdata; `go test -run
// TestConformance` compares them, and the same script runs on a real Home
// Assistant (see conform_test.go for how to record anew).
//
// Its own page at / stands in for Home Assistant's frontend and behaves as it
// does towards tokens, sockets and reloads. Names that tests may rely on:
//
//   - the login page: labels "Username", "Password", "Code" and "Keep me logged
//     in", buttons "Log in" and "Continue"; a refusal is a role=alert.
//   - the page: heading "Demo home"; buttons "Kitchen light", "Bedroom light",
//     "Ceiling lights" and "Lab switch" with aria-pressed; "Front door" (a lock:
//     pressed means locked) and "Garage door" (pressed means open); the picture
//     "Front camera" in a button "Watch front camera"; "Sign out".
//   - role=status says "Connected", "Connection lost. Reconnecting…" or
//     "Unable to connect"; document.documentElement.dataset.connected is "true"
//     while states are live; the frontend's tokens are localStorage hassTokens.
//
// In it are the entities light.kitchen_lights, light.bed_light,
// light.ceiling_lights, input_boolean.lab, lock.front_door, cover.garage_door,
// camera.demo_camera, alarm_control_panel.security (code 1234) and a few more; a
// webhook for the house alone, demo-doorbell; and an add-on that echoes, demo_echo.
//
// It is not safe as a home: passwords are compared in the clear, nothing is
// kept on disk, and no address is ever banned.
package hatest
